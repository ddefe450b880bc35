"""What the commands of this group share: their options, how they reach the sandbox, how they print."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.terminal import say_json

if TYPE_CHECKING:
    from flotilla.cli.drawing import RenderableType
    from flotilla.cli.sandbox.control import Control
    from flotilla.cli.sandbox.names import Names

WIDTH = 100

Url = Annotated[
    str | None, typer.Option("--url", help="The sandbox's URL or port; default: FLOTILLA_DISCORD_URL, or the demo's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Bot = Annotated[str, typer.Argument(metavar="BOT", help="A bot by name or id.")]
Bots = Annotated[list[str] | None, typer.Option("--bot", metavar="BOT", help="A bot; may be given several times.")]
User = Annotated[
    str | None, typer.Option("--user", help="Who does it, by name or id; a name is always the same person.")
]
Channel = Annotated[
    str | None, typer.Option("--channel", help="Where: an id, NAME or GUILD/NAME; default: the bot's home channel.")
]
InPrivate = Annotated[bool, typer.Option("--dm", help="In the private channel with the bot.")]
Locale = Annotated[str, typer.Option("--locale", help="The user's language.")]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="NAME=VALUE", help="An option; NAME:=JSON says its type, NAME@FILE uploads."
    ),
]
Message = Annotated[
    str, typer.Argument(metavar="MESSAGE", help="A message's id, or `last`: the bot's newest with components.")
]
CustomId = Annotated[str, typer.Argument(metavar="CUSTOM_ID")]


@contextmanager
def sandbox(url: str | None) -> Iterator[tuple["Control", "Names"]]:
    """Reach the sandbox, and look up the names in it."""
    from flotilla.cli.sandbox.control import Control  # noqa: PLC0415 - httpx and pydantic are slow to load
    from flotilla.cli.sandbox.names import Names  # noqa: PLC0415

    with Control.at(url) as control:
        yield control, Names(control)


def tell(answer: Any, draw: Callable[[int], Iterable["RenderableType"]], *, as_json: bool) -> None:  # noqa: ANN401 - any JSON value
    """Print what the sandbox answered: as JSON, or as `draw` shows it in so many columns."""
    if as_json:
        say_json(answer)
        return
    from flotilla.cli.render import console  # noqa: PLC0415

    shown = console()
    if shown.is_terminal:
        shown.width = min(shown.width, WIDTH)
    for each in draw(shown.width):
        shown.print(each)
