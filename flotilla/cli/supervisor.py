"""`flotilla supervisor …`: new code for the bots, or a new supervisor above them, without a bot going away."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.common import wait_until
from flotilla.cli.terminal import ask, end_line, rewrite_line, say, say_block, say_lines

if TYPE_CHECKING:
    from flotilla.cli.api import Api

FINISHED = {"done", "rolled_back", "failed", "interrupted"}
WAIT_S = 24 * 3600.0
SHOWN_WAVES = 8

app = typer.Typer(no_args_is_help=True, help="Renew the supervisor, or the code of all bots; bots keep their sessions.")


@app.command("restart")
def restart() -> None:
    """Restart our supervisor alone; the bots run on, and the new one takes them over."""
    from flotilla.launch.restart import restart_supervisor  # noqa: PLC0415 - the database is slow to load
    from flotilla.settings import load_settings  # noqa: PLC0415

    restart_supervisor(load_settings(), say)


@app.command("rollover")
def rollover(
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Move all bots to the code as it is now, a canary first. Exit code 1 if they were moved back."""
    with _api() as api:
        say_lines(preview(api.post("/rollovers", {"dry_run": True})))
        if not yes:
            ask("Go on?")
        roll_over(api, wait=wait)


def roll_over(api: "Api", *, wait: bool) -> None:
    """Begin a roll-over; if that is wanted, follow it to its end. Raises typer.Exit(1) if that is not `done`."""
    begun = api.post("/rollovers", {})
    if wait:
        _tell_end(_follow(api, begun))
    else:
        say(f"Roll-over {begun['id']} has begun. Follow it with: flotilla supervisor rollovers")


@app.command("rollovers")
def rollovers() -> None:
    """List roll-overs, the newest first; of the newest also why it ended as it did."""
    from flotilla.cli.render import coloured, console, moment, now, table  # noqa: PLC0415

    with _api() as api:
        found = api.get("/rollovers", limit=20)["items"]
    if not found:
        say("There has been no roll-over yet. Begin one with: flotilla supervisor rollover")
        return
    made = table("ID", "STATE", "MOVED", "FORK SERVER", "STARTED", "BY")
    for row in found:
        servers = f"{row['old_server'] or '?'} → {row['new_server'] or '?'}"
        moved, asked = f"{row['moved']} of {row['total']}", moment(row["created_at"], now())
        made.add_row(row["id"], coloured(row["state"]), moved, servers, asked, row["requested_by"])
    console().print(made)
    _explain(found[0])


def preview(plan: dict[str, Any]) -> list[str]:
    """Return what a roll-over would do, a line per fact."""
    if not plan["total"]:
        return ["No bot runs now: a new fork server replaces the old one, and nothing is restarted."]
    waves = plan["waves"]
    shown = ", ".join(map(str, waves[:SHOWN_WAVES])) + (" …" if len(waves) > SHOWN_WAVES else "")
    lines = [f"This moves {plan['total']} bots to the code as it is now, at most {plan['in_motion']} at once."]
    if waves:
        lines.append(
            f"First {plan['canary']} alone, as a canary; waves of {shown}. Watching takes {plan['least_s']:g} s."
        )
    else:
        lines.append("No bot is READY and stable now: one must be before anything is moved.")
    if plan["unjudged"]:
        lines.append(f"{plan['unjudged']} of them are not READY and stable; they move last.")
    lines.append(
        "A session that is resumed costs no session start; "
        f"{plan['session_starts']} would be spent if Discord refused every one."
    )
    return lines


def _follow(api: "Api", begun: dict[str, Any]) -> dict[str, Any]:
    last, shown = begun, ""

    def finished() -> bool:
        nonlocal last, shown
        last = api.get(f"/rollovers/{begun['id']}")
        if progress(last) != shown:
            shown = progress(last)
            rewrite_line(f"{shown} …")
        return last["state"] in FINISHED

    wait_until(finished, WAIT_S)
    end_line()
    return last


def progress(row: dict[str, Any]) -> str:
    """Return how far a roll-over is, in words."""
    words = {
        "pending": "waiting for the supervisor (see: flotilla status)",
        "warming": "a new fork server imports the code",
        "canary": "the canary moves, and is watched",
        "rolling_back": "going back",
    }
    return f"{row['moved']} of {row['total']} bots moved: {words.get(row['state']) or 'wave ' + str(row['wave'])}"


def _tell_end(row: dict[str, Any]) -> None:
    if row["state"] == "done":
        say(f"Done: {row['moved']} bots run the new code, from fork server {row['new_server']}.")
        if row["moved"] < row["total"]:
            say(f"The other {row['total'] - row['moved']} get it with their next start. See: flotilla bots ls")
        return
    _explain(row)
    say(f"Roll-over {row['id']} {row['state'].replace('_', ' ')}.", err=True)
    raise typer.Exit(1)


def _explain(row: dict[str, Any]) -> None:
    if row["details"]:
        say_block(row["details"].rstrip())
    if row["reason"]:
        say(row["reason"], err=True)


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
