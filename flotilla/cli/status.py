"""`flotilla status`: the fleet at a glance."""

from typing import Annotated

import typer

from flotilla.cli.terminal import say_json, say_lines


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show how many bots are in which state, and how the programs are. Exit code 1 if anything is not well."""
    from flotilla.cli.api import Api  # noqa: PLC0415 - httpx and rich are slow to load
    from flotilla.cli.faults import ApiError  # noqa: PLC0415
    from flotilla.cli.render import fleet_summary, now, readiness_lines  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    with Api.of(load_settings()) as api:
        readiness = api.readiness()
        try:
            fleet = api.get("/status")
        except ApiError:
            # How the bots are is in the database; why that does not say it is worth more.
            say_lines(readiness_lines(readiness))
            raise
    if as_json:
        say_json({**fleet, "programs": readiness})
    else:
        say_lines(fleet_summary(fleet, readiness, now()))
    if not all(part["ok"] for part in readiness.values() if isinstance(part, dict) and "ok" in part):
        raise typer.Exit(1)
