"""`flotilla stock …`: what a bot has in stock, through the API."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.faults import ApiError
from flotilla.cli.terminal import say, say_json

if TYPE_CHECKING:
    from flotilla.cli.api import Api
    from flotilla.cli.drawing import RenderableType

app = typer.Typer(no_args_is_help=True, help="See and change what a bot has in stock.")

Bot = Annotated[str, typer.Argument(metavar="NAME", help="Name of the bot.")]
Sku = Annotated[str, typer.Argument(metavar="SKU", help="Letters, digits, dots, hyphens and underscores.")]
GIVEN = ("name", "quantity", "category", "description", "price", "low_at")


@app.command("list")
def show(
    name: Bot,
    low: Annotated[bool, typer.Option("--low", help="Only what is about to run out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what a bot has in stock."""
    with _api() as api:
        path = f"/bots/{api.bot_named(name)['id']}/stock"
        found = list(api.pages(path, low="true" if low else None))
    if as_json:
        say_json(found)
        return
    from flotilla.cli.render import console, now  # noqa: PLC0415

    if found:
        console().print(stock_table(found, now()))
    else:
        say("Nothing is about to run out." if low else f"{name} has nothing in stock.")


@app.command("set")
def put(
    name: Bot,
    sku: Sku,
    title: Annotated[str | None, typer.Option("--name", help="What it is called.")] = None,
    quantity: Annotated[int | None, typer.Option("--quantity", "-q", help="How many there are.")] = None,
    category: Annotated[str | None, typer.Option("--category")] = None,
    description: Annotated[str | None, typer.Option("--description")] = None,
    price: Annotated[str | None, typer.Option("--price", help="As it is shown.")] = None,
    low_at: Annotated[int | None, typer.Option("--low-at", help="Staff are told at so many or fewer.")] = None,
) -> None:
    """Add an item, or change what is named of one that is there."""
    given = dict(zip(GIVEN, (title, quantity, category, description, price, low_at), strict=True))
    with _api() as api:
        path = f"/bots/{api.bot_named(name)['id']}/stock/{_quoted(sku)}"
        before = _found(api, path)
        if before is None and (title is None or quantity is None):
            raise typer.BadParameter(f"{name} has no item {sku!r} yet; a new one needs --name and --quantity.")
        wanted = {key: given[key] if given[key] is not None else (before or {}).get(key) for key in GIVEN}
        item = api.put(path, {key: value for key, value in wanted.items() if value is not None})
    say(f"{item['sku']}: {item['quantity']} of {item['name']}.")


@app.command("remove")
def remove(name: Bot, sku: Sku) -> None:
    """Remove an item."""
    with _api() as api:
        api.delete(f"/bots/{api.bot_named(name)['id']}/stock/{_quoted(sku)}")
    say(f"Removed {sku}.")


def stock_table(found: Iterable[Mapping[str, Any]], now: Any) -> "RenderableType":  # noqa: ANN401 - a time
    """Return a line per item."""
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import moment, table  # noqa: PLC0415

    shown = table("SKU", "NAME", "CATEGORY", "PRICE", "QUANTITY", "LOW AT", "CHANGED")
    for row in found:
        is_low = row["quantity"] <= row["low_at"]
        shown.add_row(
            row["sku"],
            Text(row["name"]),
            Text(row["category"] or "-"),
            Text(row["price"] or "-"),
            Text(str(row["quantity"]), style="yellow" if is_low else ""),
            str(row["low_at"]),
            moment(row["updated_at"], now),
        )
    return shown


def _quoted(sku: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415

    return quote(sku, safe="")


def _found(api: "Api", path: str) -> Mapping[str, Any] | None:
    try:
        return api.get(path)
    except ApiError as fault:
        if fault.code == "stock_item_unknown":
            return None
        raise


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
