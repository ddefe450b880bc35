"""/stock: what the bot's shop has. The data is the supervisor's; see flotilla/domain/stock.py."""

from collections import OrderedDict
from typing import Any, Final

import hikari
import lightbulb

from flotilla.domain.stock import CHOICES, StockAsked, StockItem, StockPage, StockSearched, StockShown, folded
from worker_bot import builtin
from worker_bot.asking import AskingError
from worker_bot.builtin import Say, custom_id, may_go_on, voice, whisper

MAX_SEEN: Final = 200
MAX_DESCRIPTION: Final = 200
ALL: Final = "all"
OF_CATEGORY: Final = "c:"
SEARCHED_CHARS: Final = 100

loader = lightbulb.Loader()
group = lightbulb.Group("commands.stock.name", "commands.stock.description", localize=True)


class Seen:
    """Items that users of this process have seen lately, for when nobody can be asked."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, StockItem] = OrderedDict()

    def note(self, items: list[StockItem]) -> None:
        """Remember these, and forget those seen longest ago."""
        for item in items:
            self._items[item.sku] = item
            self._items.move_to_end(item.sku)
        while len(self._items) > MAX_SEEN:
            self._items.popitem(last=False)

    def find(self, text: str) -> list[StockItem]:
        """Return those with `text` in them, seen last first."""
        wanted = text.strip().casefold()
        return [item for item in reversed(self._items.values()) if wanted in folded(item)][:CHOICES]


seen = Seen()


# Pages ---------------------------------------------------------------------------------------------------------------


async def _page(say: Say, wanted: StockAsked, user_id: int) -> dict[str, Any]:
    """Return the message of a page. Raises AskingError."""
    found = await builtin.asked("stock.page", wanted, StockPage)
    seen.note(found.items)
    title = "commands.stock.low.title" if wanted.low else "commands.stock.title"
    embed = hikari.Embed(title=say(title), description=None if found.items else say("commands.stock.empty"))
    for item in found.items:
        embed.add_field(*_shown(say, item, low=wanted.low))
    if found.pages > 1:
        embed.set_footer(say("common.page", page=found.page, pages=found.pages))

    def to(page: int) -> str:
        category = ALL if wanted.category is None else OF_CATEGORY + wanted.category
        return custom_id("stock", user_id, page, int(wanted.low), category)

    rows = builtin.turning(say, found.page, found.pages, to)
    if found.categories and not wanted.low:
        rows.append(_categories(say, found.categories, wanted.category, user_id))
    return {"embed": embed, "components": rows}


def _shown(say: Say, item: StockItem, *, low: bool) -> tuple[str, str]:
    """Return an item's name and the rest of it."""
    quantity = "commands.stock.available" if item.quantity else "commands.stock.sold_out"
    words = [say(quantity, quantity=item.quantity)]
    if low:
        words = [say("commands.stock.left", quantity=item.quantity, low_at=item.low_at), f"`{item.sku}`"]
    facts = " · ".join(word for word in (item.price, *words, item.category) if word)
    text = item.description
    shown = text if len(text) <= MAX_DESCRIPTION else f"{text[:MAX_DESCRIPTION]}…"
    return item.name, f"{facts}\n{shown}".strip()


def _categories(say: Say, names: list[str], chosen: str | None, user_id: int) -> hikari.api.MessageActionRowBuilder:
    row = hikari.impl.MessageActionRowBuilder()
    menu = row.add_text_menu(custom_id("stock-category", user_id), placeholder=say("commands.stock.category"))
    menu.add_option(say("commands.stock.all"), ALL, is_default=chosen is None)
    for name in names:
        menu.add_option(name, OF_CATEGORY + name, is_default=name == chosen)
    return row


def _category(value: str) -> str | None:
    return value.removeprefix(OF_CATEGORY) if value.startswith(OF_CATEGORY) else None


@loader.listener(hikari.ComponentInteractionCreateEvent)
async def turn_stock(event: hikari.ComponentInteractionCreateEvent) -> None:
    """Show another page, or another category."""
    press = await builtin.pressed(event, "stock", 3)
    if press is not None:
        page, low, category = press.values
        wanted = StockAsked(max(1, builtin.number_of(page)), _category(category), low == "1")
    else:
        press = await builtin.pressed(event, "stock-category", 0)
        if press is None:
            return
        wanted = StockAsked(1, _category(event.interaction.values[0] if event.interaction.values else ALL))
    try:
        shown = await _page(press.say, wanted, press.user_id)
    except AskingError:
        await press.tell(press.say("common.unavailable"))
        return
    await press.show(None, **shown)


# Commands ------------------------------------------------------------------------------------------------------------


@group.register
class Browse(
    lightbulb.SlashCommand,
    name="commands.stock.browse.name",
    description="commands.stock.browse.description",
    localize=True,
):
    """Shows all items, a page at a time."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for all to see."""
        say = voice(ctx.interaction)
        if not await may_go_on(ctx, say):
            return
        try:
            shown = await _page(say, StockAsked(), ctx.user.id)
        except AskingError:
            await whisper(ctx, say("common.unavailable"))
            return
        await ctx.respond(**shown)


async def _complete(ctx: lightbulb.AutocompleteContext[str]) -> None:
    """Offer what the supervisor finds, or what was seen last if it does not tell in time."""
    typed = str(ctx.focused.value)[:SEARCHED_CHARS]
    try:
        found = await builtin.asked("stock.search", StockSearched(typed), list[StockItem], builtin.CHOOSE_S)
    except AskingError:
        found = seen.find(typed)
    else:
        seen.note(found)
    await ctx.respond([builtin.choice(item.name, f"sku:{item.sku}") for item in found])


@group.register
class Search(
    lightbulb.SlashCommand,
    name="commands.stock.search.name",
    description="commands.stock.search.description",
    localize=True,
):
    """Shows the item that was chosen, or those that have the text in them."""

    item = lightbulb.string(
        "commands.stock.search.item.name",
        "commands.stock.search.item.description",
        localize=True,
        autocomplete=_complete,
    )

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for all to see; that nothing was found is for this user's eyes alone."""
        say = voice(ctx.interaction)
        if not await may_go_on(ctx, say):
            return
        try:
            found = await self._found()
        except AskingError:
            await whisper(ctx, say("common.unavailable"))
            return
        if not found:
            await whisper(ctx, say("commands.stock.search.none"))
            return
        embed = hikari.Embed(title=say("commands.stock.title"))
        for item in found:
            embed.add_field(*_shown(say, item, low=False))
        await ctx.respond(embed=embed)

    async def _found(self) -> list[StockItem]:
        text = self.item.strip()[:SEARCHED_CHARS]
        if text.startswith("sku:"):
            return await builtin.asked("stock.item", StockShown(text.removeprefix("sku:")), list[StockItem])
        return await builtin.asked("stock.search", StockSearched(text, 5), list[StockItem])


@group.register
class Low(
    lightbulb.SlashCommand, name="commands.stock.low.name", description="commands.stock.low.description", localize=True
):
    """Shows staff what is about to run out."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for this user's eyes alone."""
        say = voice(ctx.interaction)
        if not await may_go_on(ctx, say):
            return
        # Discord hides whole commands, not subcommands.
        if ctx.member is None or not builtin.is_staff(ctx.member):
            await whisper(ctx, say("common.staff_only"))
            return
        try:
            shown = await _page(say, StockAsked(low=True), ctx.user.id)
        except AskingError:
            await whisper(ctx, say("common.unavailable"))
            return
        await ctx.respond(ephemeral=True, **shown)


loader.command(group)
