"""`flotilla bots policy`: what a bot is held to, and how that is changed."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.terminal import say_json

if TYPE_CHECKING:
    from flotilla.cli.api import Api
    from flotilla.cli.drawing import RenderableType

FLEET = "fleet"
"""As a value: no longer the bot's own."""

_WORDS: dict[str, Any] = {FLEET: None, "true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def policy(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KNOB=VALUE]…", help=f"What to change; KNOB={FLEET} goes back to the fleet's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a bot is held to, or change it. A change holds at once, without a restart."""
    wanted = dict(_change(text) for text in changes or ())
    with _api() as api:
        path = f"/bots/{api.bot_named(name)['id']}/policy"
        found = api.patch(path, wanted) if wanted else api.get(path)
    if as_json:
        say_json(found)
        return
    from flotilla.cli.render import console  # noqa: PLC0415

    console().print(policy_table(found))


def _change(text: str) -> tuple[str, Any]:
    """Return a knob and its value out of KNOB=VALUE; what value it may have is the API's to say."""
    knob, equals, value = text.partition("=")
    if not knob or not equals or not value:
        raise typer.BadParameter(f"{text!r} is not KNOB=VALUE, such as memory_limit_mb=256")
    if value.lower() in _WORDS:
        return knob, _WORDS[value.lower()]
    try:
        return knob, json.loads(value)
    except ValueError:
        return knob, value


def policy_table(found: dict[str, Any]) -> "RenderableType":
    """Return the knobs with what holds, what the fleet has, and a mark at the bot's own."""
    from flotilla.cli.render import table  # noqa: PLC0415

    shown = table("KNOB", "VALUE", "FLEET")
    for knob, value in found["effective"].items():
        own = knob in found["own"]
        shown.add_row(knob, _text(value), _text(found["fleet"][knob]) if own else "", style="bold" if own else None)
    return shown


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
