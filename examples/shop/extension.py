"""The shop's commands: `/shop` shows what there is, with a button for each; `/restock` fills the shelf.

The buttons carry all that is needed in their custom ids, so that they work after every restart.
"""

from collections.abc import Sequence
from pathlib import Path

import hikari
import lightbulb

from worker_bot import authoring

from .shelf import Good, Shelf, SoldOutError

BUY = "shop:buy:"
MAX_BUTTONS = 25
PER_ROW = 5

loader = lightbulb.Loader()
_shelves: dict[Path, Shelf] = {}


def shelf() -> Shelf:
    """Return the shelf in the bot's own folder, or in the one that its config names."""
    folder = authoring.settings(__name__).get("folder") or Path.home()
    path = Path(str(folder)) / "shop.sqlite"
    return _shelves.setdefault(path, Shelf(path))


def shown(goods: list[Good]) -> tuple[str, Sequence[hikari.api.ComponentBuilder]]:
    """Return the shop's text and buttons."""
    lines = [f"**{good.name}** · {good.price} coins · {good.stock or 'none'} left" for good in goods]
    rows = []
    for start in range(0, min(len(goods), MAX_BUTTONS), PER_ROW):
        row = hikari.impl.MessageActionRowBuilder()
        for good in goods[start : start + PER_ROW]:
            row.add_interactive_button(
                hikari.ButtonStyle.PRIMARY, f"{BUY}{good.name}", label=f"Buy {good.name}", is_disabled=not good.stock
            )
        rows.append(row)
    return "\n".join(lines) or "The shelves are empty.", rows


@loader.command
class Shop(lightbulb.SlashCommand, name="shop", description="Shows what there is to buy."):
    """Shows all goods."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for everybody to see."""
        text, rows = shown(await shelf().goods())
        await ctx.respond(text, components=rows)


@loader.command
class Restock(
    lightbulb.SlashCommand,
    name="restock",
    description="Puts something on the shelf.",
    default_member_permissions=hikari.Permissions.MANAGE_GUILD,
):
    """Fills the shelf; for those who manage the guild."""

    good = lightbulb.string("good", "What.", max_length=40)
    count = lightbulb.integer("count", "How many.", min_value=1, max_value=10_000)
    price = lightbulb.integer("price", "In coins.", min_value=0, max_value=1_000_000)

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer privately."""
        good = await shelf().put(self.good, self.price, self.count)
        await ctx.respond(f"There are {good.stock} {good.name} now.", ephemeral=True)


@loader.listener(hikari.ComponentInteractionCreateEvent)
async def buy(event: hikari.ComponentInteractionCreateEvent) -> None:
    """Sell one, and show all what is left; who comes too late is told alone.

    One answer and no follow-up: follow-ups of a bot share one rate limit, answers have none.
    """
    pressed = event.interaction
    if not pressed.custom_id.startswith(BUY):
        return
    name = pressed.custom_id.removeprefix(BUY)
    try:
        good = await shelf().buy(name, int(pressed.user.id))
    except SoldOutError:
        told = f"There is no {name} left."
        await pressed.create_initial_response(
            hikari.ResponseType.MESSAGE_CREATE, told, flags=hikari.MessageFlag.EPHEMERAL
        )
        return
    text, rows = shown(await shelf().goods())
    sold = f"{text}\n{pressed.user.username} bought {good.name} for {good.price} coins."
    await pressed.create_initial_response(hikari.ResponseType.MESSAGE_UPDATE, sold, components=rows)


@loader.listener(hikari.StoppingEvent)
async def close(_event: hikari.StoppingEvent) -> None:
    """Leave the file in order."""
    for opened in _shelves.values():
        await opened.close()
