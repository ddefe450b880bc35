"""`flotilla status`: the fleet at a glance."""

import json
from typing import Annotated

import typer


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show how many bots are in which state, and how the programs are. Exit code 1 if a program is not well."""
    from flotilla.cli.api import Api  # noqa: PLC0415 - httpx and rich are slow to load
    from flotilla.cli.render import fleet_summary, now  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    with Api.of(load_settings()) as api:
        fleet = api.get("/status")
        readiness = api.readiness()
    if as_json:
        print(json.dumps({**fleet, "programs": readiness}, indent=2))
    else:
        print("\n".join(fleet_summary(fleet, readiness, now())))
    if not all(part["ok"] for part in readiness.values() if isinstance(part, dict) and "ok" in part):
        raise typer.Exit(1)
