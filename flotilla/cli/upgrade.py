"""`flotilla upgrade`: a running fleet goes over to the release that lies on the disk."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from flotilla.cli.terminal import ask, say, say_lines

if TYPE_CHECKING:
    from flotilla.launch.upgrade import Plan
    from flotilla.settings import Settings


def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    bots: Annotated[bool, typer.Option("--bots/--no-bots", help="Move the bots to the new code as well.")] = True,
) -> None:
    """Replace every program of the running fleet by the release on the disk, then move the bots to it.

    Run it after the new code is in place (git pull, make setup). The bots keep their sessions.
    """
    from flotilla.cli.api import Api  # noqa: PLC0415 - database, migrations and httpx are slow to load
    from flotilla.cli.supervisor import preview, roll_over  # noqa: PLC0415
    from flotilla.home import ProgramLock  # noqa: PLC0415
    from flotilla.launch.upgrade import carry_out, plan_upgrade  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    plan = plan_upgrade(settings)
    say_lines(describe(plan, settings, bots=bots))
    if dry_run:
        return
    if not yes:
        ask("Go on?")
    ProgramLock(settings, "upgrade").acquire()  # two at once would restart each other's programs
    carry_out(settings, plan, say)
    if bots:
        with Api.of(settings) as api:
            say_lines(preview(api.post("/rollovers", {"dry_run": True})))
            roll_over(api, wait=True)
    say(f"This fleet runs release {plan.release}.")


def describe(plan: "Plan", settings: "Settings", *, bots: bool) -> list[str]:
    """Return what an upgrade would do, a line per fact."""
    lines = [f"On the disk lies release {plan.release}."]
    for name, release in plan.running.items():
        state = "runs it already" if release == plan.release else f"runs {release or 'an older release'}"
        lines.append(f"  {name:<12}{state}{'; restarted' if name in plan.old else ''}")
    lines += [f"  {name:<12}is older; restarted" for name in plan.ground]
    lines += [f"  {name:<12}has changed in supervisord.conf; all its programs are restarted" for name in plan.groups]
    if plan.migrate:
        lines.append("The database changes its shape; there is no way back but a backup. Make one before you go on:")
        lines.append(f"  {_backup(settings)}")
    if bots:
        lines.append("At last a new fork server imports the code, and the bots move to it, a canary first.")
    return lines


def _backup(settings: "Settings") -> str:
    if settings.database_url:
        return "pg_dump, or what your database has for that"
    return f"sqlite3 {shlex.quote(str(settings.home / 'flotilla.db'))} 'VACUUM INTO \"backup.db\"'"
