"""Which of Discord's limits are enforced, and who has spent what of the budget of invalid requests."""

from typing import Annotated

import typer

from flotilla.cli.sandbox.options import AsJson, Url, sandbox, tell
from flotilla.cli.terminal import say

SWITCHES = {
    "routes": "each route's own rate limit",
    "global": "the global rate limit of each bot",
    "hidden": "limits that Discord does not document",
    "invalid_requests": "the 401, 403 and 429 of an address",
}
Switch = Annotated[list[str] | None, typer.Option(metavar="LIMIT", help=f"One of: {', '.join(SWITCHES)}.")]


def limits(on: Switch = None, off: Switch = None, as_json: AsJson = False, url: Url = None) -> None:
    """Show which limits are enforced; turn them on and off."""
    wrong = [name for name in (*(on or ()), *(off or ())) if name not in SWITCHES]
    if wrong:
        raise typer.BadParameter(f"There is no limit {wrong[0]!r}. Choose of: {', '.join(SWITCHES)}.")
    from flotilla.cli.sandbox.tables import limits_table  # noqa: PLC0415 - rich is slow to load

    changes = dict.fromkeys(on or (), True) | dict.fromkeys(off or (), False)
    with sandbox(url) as (control, _):
        answer = control.post("/limits", changes) if changes else control.get("/limits")
    tell(answer, lambda _: [limits_table(answer, SWITCHES)], as_json=as_json)


def addresses(as_json: AsJson = False, url: Url = None) -> None:
    """List the addresses with invalid requests, by bot and status, and those that are banned."""
    from flotilla.cli.sandbox.tables import addresses_table  # noqa: PLC0415

    with sandbox(url) as (control, names):
        found = control.items("/addresses")
        if found or as_json:
            tell(found, lambda _: [addresses_table(found, names.name_of)], as_json=as_json)
        else:
            say("No address has sent an invalid request lately.")
