"""`flotilla upgrade`: the programs of a running fleet are replaced by those on the disk, one after the other.

The order follows what each needs of the others: the database first, since both releases can use it; then what the
programs stand on; the supervisor before those that give it orders. The bots run on all the while.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from flotilla.db.engine import Database
from flotilla.db.schema import Shape, require_current, shape, upgrade
from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.home import ProgramLock, prepare_home
from flotilla.launch import probes
from flotilla.launch.layout import LAUNCHER, PROGRAMS, ROOT, program_log, supervisord_socket
from flotilla.launch.remains import live_programs
from flotilla.launch.restart import renew_api, renew_group, restart_program, restart_supervisor
from flotilla.launch.supervisord import GROUP, Supervisord
from flotilla.local_keys import ensure_local_keys
from flotilla.release import release_on_disk, running_release
from flotilla.settings import Settings

GROUND = "ground"
START_S = 60.0
SHOWN_CHARS = 200
_LOOK_EVERY_S = 0.2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upgrade would do now. running: the release of each live program, None if it does not say.

    migrate: whether the database has the shape of a release before. ground: programs to be replaced that the others
    stand on. groups: those of supervisord.conf that are to run otherwise than they do.
    """

    release: str
    running: dict[str, str | None]
    migrate: bool
    ground: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def old(self) -> list[str]:
        """The programs that are not known to run this release, in the order in which they are replaced."""
        return [name for name in PROGRAMS if GROUP in self.groups or self.running.get(name) != self.release]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an upgrade: what it does, in words, and how."""

    what: str
    act: Callable[[], None]


def plan_upgrade(settings: Settings) -> Plan:
    """Look at the installation as `flotilla up` does, and at what runs; change nothing but what supervisord has read.

    Raises SetupError or RetryError (`supervisord_away`) with what to do, and then nothing may be replaced.
    """
    probes.supervisord_installed()
    prepare_home(settings)
    ensure_local_keys(settings)
    probes.home_writable(settings)
    supervisord = Supervisord(supervisord_socket(settings))
    if not supervisord.pid():
        held = ProgramLock(settings, LAUNCHER).holder()
        why = f"supervisord (process {held}) does not answer" if held else f"no fleet runs in {settings.home}"
        raise RetryError(
            f"There is nothing to upgrade: {why}. `flotilla down` and `flotilla up` start this release.",
            code="supervisord_away",
        )
    migrate = asyncio.run(_must_migrate(settings))
    programs = live_programs(settings)
    return Plan(
        release_on_disk(),
        {name: running_release(settings, name) for name in PROGRAMS if name in programs},
        migrate,
        tuple(_old_ground(settings, programs)),
        tuple(name for name in supervisord.changed_groups() if name in {GROUND, GROUP}),
    )


def steps(settings: Settings, plan: Plan, say: Say) -> Iterator[Step]:
    """Yield what replaces everything but the bots, in its order."""
    if plan.migrate:
        yield Step("Bring the database to this release's shape", lambda: asyncio.run(_migrate(settings)))
    yield from _ground_steps(settings, plan)
    whole = GROUP in plan.groups
    if "supervisor" in plan.old:
        yield Step("Restart the supervisor", partial(restart_supervisor, settings, say, GROUP if whole else None))
    for name in plan.old:
        if name != "supervisor":
            # With a group that changed it was restarted with the supervisor.
            yield Step(f"Restart the {name}", partial(_replace, settings, name, restart=not whole))
    yield Step("See that all run this release", lambda: _await_release(settings, PROGRAMS))


def _ground_steps(settings: Settings, plan: Plan) -> Iterator[Step]:
    supervisord = Supervisord(supervisord_socket(settings))
    if GROUND in plan.groups:
        yield Step("Restart what the programs stand on", partial(renew_group, settings, supervisord, GROUND))
        return
    for name in plan.ground:
        yield Step(f"Restart {name}", partial(restart_program, settings, supervisord, name, GROUND))


def carry_out(settings: Settings, plan: Plan, say: Say) -> None:
    """Do all steps, telling each; the first that fails ends it. Raises what the step raised, with where it was."""
    todo = list(steps(settings, plan, say))
    for number, step in enumerate(todo, 1):
        say(f"{number}/{len(todo)} {step.what} …")
        try:
            step.act()
        except FlotillaError as fault:
            done = "Nothing was replaced" if number == 1 and plan.migrate else "What came before is done and stays"
            kind = SetupError if isinstance(fault, SetupError) else RetryError
            raise kind(
                f"Step {number} of {len(todo)} failed: {fault.message} {done}; the bots run on. Mend it and run "
                "`flotilla upgrade` again: it goes on with what is old.",
                code=fault.code,
            ) from fault


def _replace(settings: Settings, program: str, *, restart: bool) -> None:
    supervisord = Supervisord(supervisord_socket(settings))
    if restart and program == "api":
        renew_api(settings, supervisord)
    elif restart:
        restart_program(settings, supervisord, program)
    _await_release(settings, (program,))


def _await_release(settings: Settings, programs: tuple[str, ...]) -> None:
    release = release_on_disk()
    supervisord = Supervisord(supervisord_socket(settings))
    deadline = time.monotonic() + START_S
    while old := [name for name in programs if running_release(settings, name) != release]:
        for row in (row for row in supervisord.programs() if row.name in old and row.given_up):
            raise SetupError(
                f"The new {row.name} ended with exit code {row.exit_status}; "
                f"{program_log(settings, row.name)} says why.",
                code="program_failed",
            )
        if time.monotonic() > deadline:
            raise RetryError(
                f"After {START_S:.0f} s these do not run release {release}: {', '.join(old)}. "
                f"Look at {settings.log_dir}.",
                code="program_late",
            )
        time.sleep(_LOOK_EVERY_S)


async def _must_migrate(settings: Settings) -> bool:
    database = Database(settings.effective_database_url)
    try:
        found = await shape(database)
        if found is Shape.AHEAD:
            await require_current(database)
        return found is Shape.BEHIND
    finally:
        await database.close()


async def _migrate(settings: Settings) -> None:
    database = Database(settings.effective_database_url)
    try:
        await upgrade(database)
    except FlotillaError:
        raise
    except Exception as fault:  # whatever a migration or a driver raises: it was one transaction
        why = f"{type(fault).__name__}: {fault}".splitlines()[0]
        raise RetryError(
            f"The database did not take its new shape, and has the one it had ({why[:SHOWN_CHARS]}).",
            code="migration_failed",
        ) from fault
    finally:
        await database.close()


def _old_ground(settings: Settings, programs: dict[str, int]) -> Iterator[str]:
    """Yield which programs without a lock are old: Valkey's binary was replaced, the sandbox's code came after it."""
    if "valkey" in programs and settings.redis_url is None:
        try:
            same = Path(f"/proc/{programs['valkey']}/exe").samefile(probes.valkey_binary())
        except OSError:
            same = False
        if not same:
            yield "valkey"
    if "sandbox" in programs:
        newest = max(path.stat().st_mtime for path in (ROOT / "sandbox").rglob("*.py"))
        try:
            began = psutil.Process(programs["sandbox"]).create_time()
        except psutil.Error:
            return
        if newest > began:
            yield "sandbox"
