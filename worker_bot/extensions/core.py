"""The commands that every bot answers: /ping, /help, /about and /uptime."""

import math
import time
from typing import Any, Final

import hikari
import lightbulb

from flotilla import __version__
from flotilla.domain.about import BotUptimes
from flotilla.domain.config import GuildConfig
from worker_bot import builtin, catalogue, itself
from worker_bot.asking import AskingError
from worker_bot.builtin import Say, may_go_on, voice, whisper

PER_PAGE: Final = 8
CHOICES: Final = 25
"""Choices that Discord shows (Discord, Application Commands)."""

loader = lightbulb.Loader()


@loader.command
class Ping(lightbulb.SlashCommand, name="commands.ping.name", description="commands.ping.description", localize=True):
    """Answers with the time from Discord's creation of the interaction to now, in milliseconds."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer. A clock that is behind Discord's shows as 0 ms rather than as a negative number."""
        age_ms = max(0.0, (time.time() - ctx.interaction.created_at.timestamp()) * 1000)
        await ctx.respond(voice(ctx.interaction)("commands.ping.answer", ms=f"{age_ms:.0f}"))


# Help ----------------------------------------------------------------------------------------------------------------


async def _entries(client: lightbulb.Client, interaction: Any) -> list[catalogue.Entry]:  # noqa: ANN401
    owner = bool(catalogue.OWNERS) and await builtin.is_owner(client, interaction.user.id)
    guild_id = interaction.guild_id
    guild = GuildConfig() if guild_id is None else await itself.current().guild(int(guild_id))
    return await catalogue.entries(client, interaction, guild, owner=owner)


def _page(say: Say, entries: list[catalogue.Entry], page: int, user_id: int) -> dict[str, Any]:
    pages = max(1, math.ceil(len(entries) / PER_PAGE))
    page = min(page, pages)
    embed = hikari.Embed(title=say("commands.help.title"))
    for entry in entries[(page - 1) * PER_PAGE : page * PER_PAGE]:
        embed.add_field(f"/{entry.shown}", entry.description or "-")
    if not entries:
        embed.description = say("commands.help.none")
    if pages > 1:
        embed.set_footer(say("common.page", page=page, pages=pages))
    rows = builtin.turning(say, page, pages, lambda to: builtin.custom_id("help", user_id, to))
    return {"embed": embed, "components": rows}


async def _complete(ctx: lightbulb.AutocompleteContext[str]) -> None:
    typed = str(ctx.focused.value).casefold()
    found = await _entries(ctx.client, ctx.interaction)
    wanted = [each for each in found if typed in each.name.casefold() or typed in each.shown.casefold()]
    await ctx.respond([builtin.choice(f"/{each.shown}", each.name) for each in wanted[:CHOICES]])


@loader.command
class Help(lightbulb.SlashCommand, name="commands.help.name", description="commands.help.description", localize=True):
    """Shows the commands that its user may use here, a page at a time, or one of them."""

    command = lightbulb.string(
        "commands.help.command.name",
        "commands.help.command.description",
        localize=True,
        default="",
        max_length=100,
        autocomplete=_complete,
    )

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for this user's eyes alone."""
        say = voice(ctx.interaction)
        if not await may_go_on(ctx, say):
            return
        found = await _entries(ctx.client, ctx.interaction)
        if not self.command:
            await ctx.respond(ephemeral=True, **_page(say, found, 1, ctx.user.id))
            return
        wanted = self.command.strip().removeprefix("/").casefold()
        named = [
            each for each in found if f"{wanted} " in f"{each.name} ".casefold() or wanted == each.shown.casefold()
        ]
        if named:
            await ctx.respond(ephemeral=True, **_page(say, named[:PER_PAGE], 1, ctx.user.id))
        else:
            shown = self.command[:100].replace("`", "'")
            await whisper(ctx, say("commands.help.unknown", command=shown))


@loader.listener(hikari.ComponentInteractionCreateEvent)
async def turn_help(event: hikari.ComponentInteractionCreateEvent, client: lightbulb.Client) -> None:
    """Show another page of the help."""
    press = await builtin.pressed(event, "help", 1)
    if press is not None:
        found = await _entries(client, event.interaction)
        await press.show(None, **_page(press.say, found, builtin.number_of(press.values[0]), press.user_id))


# About and uptime ----------------------------------------------------------------------------------------------------


@loader.command
class About(
    lightbulb.SlashCommand, name="commands.about.name", description="commands.about.description", localize=True
):
    """Says who the bot is, whose, and where."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context, app: hikari.GatewayBot) -> None:
        """Answer."""
        say, me = voice(ctx.interaction), app.get_me()
        found = await builtin.applications.get(ctx.client)
        owner = None if found is None else found.team.name if found.team is not None else found.owner.username
        text = say(
            "commands.about.text",
            bot=me.username if me is not None else say("common.unknown"),
            owner=owner or say("common.unknown"),
            servers=len(app.cache.get_guilds_view()) or (found.approximate_guild_count if found is not None else 0),
            version=__version__,
        )
        await ctx.respond(text, user_mentions=False, role_mentions=False)


@loader.command
class Uptime(
    lightbulb.SlashCommand, name="commands.uptime.name", description="commands.uptime.description", localize=True
):
    """Says how much of the time the bot was there."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer with what the supervisor has recorded."""
        say = voice(ctx.interaction)
        if not await may_go_on(ctx, say):
            return
        try:
            found = await builtin.asked("uptime", None, BotUptimes)
        except AskingError:
            await whisper(ctx, say("common.unavailable"))
            return
        shown = {
            name: say("common.unknown") if (ratio := found.ratios.get(window)) is None else _percent(ratio)
            for name, window in (("day", "24h"), ("week", "7d"), ("month", "30d"))
        }
        if found.since_s is None:
            since = say("commands.uptime.apart")
        else:
            since = say("commands.uptime.since", since=f"<t:{time.time() - found.since_s:.0f}:R>")
        await ctx.respond(f"{say('commands.uptime.text', **shown)}\n{since}")


def _percent(ratio: float) -> str:
    """Return a share so that 100 % is said of nothing that was ever down."""
    return f"{math.floor(ratio * 100_000) / 1000:.3f} %"
