"""For the bot's owners: /status and /reload; for the staff of a server: /config."""

import time
from typing import Any, Final

import hikari
import lightbulb
import msgspec

from flotilla.domain.about import BotAbout, RestartAsked
from flotilla.domain.config import GuildConfig
from flotilla.domain.policy import MIB
from worker_bot import asking, builtin, catalogue, itself, texts
from worker_bot.asking import AskingError
from worker_bot.builtin import Say, custom_id, may_go_on, voice, whisper

MAX_SHOWN: Final = 1800
KEYS: Final = ("locale", "off", "settings")

loader = lightbulb.Loader()
catalogue.OWNERS.update(("status", "reload"))
for_admins = hikari.Permissions.NONE
"""Discord shows such a command to a server's administrators alone, and in direct messages to all."""


async def _is_for(ctx: lightbulb.Context, say: Say) -> bool:
    """Return whether an owner asks, who may go on; tell others."""
    if not await builtin.is_owner(ctx.client, ctx.user.id):
        await whisper(ctx, say("common.owners_only"))
        return False
    return await may_go_on(ctx, say)


@loader.command
class Status(
    lightbulb.SlashCommand,
    name="commands.status.name",
    description="commands.status.description",
    localize=True,
    default_member_permissions=for_admins,
):
    """Shows an owner how the bot's process is."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for this user's eyes alone."""
        say = voice(ctx.interaction)
        if not await _is_for(ctx, say):
            return
        try:
            found = await builtin.asked("status", None, BotAbout)
        except AskingError:
            await whisper(ctx, say("common.unavailable"))
            return
        unknown = say("common.unknown")
        text = say(
            "commands.status.text",
            state=found.state if found.reason is None else f"{found.state} ({found.reason})",
            generation=found.generation,
            memory=unknown if found.memory_bytes is None else f"{found.memory_bytes / MIB:.1f}",
            limit=f"{found.memory_limit_bytes / MIB:.0f}",
            latency=unknown if found.latency_ms is None else f"{found.latency_ms:.0f}",
            since=unknown if found.since_s is None else f"<t:{time.time() - found.since_s:.0f}:R>",
            config=itself.current().version(),
            version=found.version,
        )
        await whisper(ctx, text)


# Reload --------------------------------------------------------------------------------------------------------------


@loader.command
class Reload(
    lightbulb.SlashCommand,
    name="commands.reload.name",
    description="commands.reload.description",
    localize=True,
    default_member_permissions=for_admins,
):
    """Asks an owner whether the bot is to be restarted with its session kept."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for this user's eyes alone, with a button to go on."""
        say = voice(ctx.interaction)
        if not await _is_for(ctx, say):
            return
        row = hikari.impl.MessageActionRowBuilder()
        confirm, cancel = (custom_id("reload", ctx.user.id, what) for what in (itself.current().generation, "no"))
        row.add_interactive_button(hikari.ButtonStyle.DANGER, confirm, label=say("commands.reload.confirm"))
        row.add_interactive_button(hikari.ButtonStyle.SECONDARY, cancel, label=say("commands.reload.cancel"))
        await whisper(ctx, say("commands.reload.question"), components=[row])


@loader.listener(hikari.ComponentInteractionCreateEvent)
async def reload(event: hikari.ComponentInteractionCreateEvent, client: lightbulb.Client) -> None:
    """Have the bot restarted, or not. A button that was pressed before the last restart does nothing any more."""
    press = await builtin.pressed(event, "reload", 1)
    if press is None:
        return
    say, what = press.say, press.values[0]
    if what == "no":
        await press.show(say("commands.reload.cancelled"), components=[])
    elif not await builtin.is_owner(client, press.user_id):
        await press.show(say("common.owners_only"), components=[])
    elif what != str(itself.current().generation):
        await press.show(say("common.outdated"), components=[])
    else:
        await press.show(say(await _restarted(int(what))), components=[])


async def _restarted(generation: int) -> str:
    """Have the bot restarted; return the key of the text that says how that went."""
    try:
        await asking.ask("restart", msgspec.json.encode(RestartAsked(generation)), builtin.LOOK_S)
    except AskingError as fault:
        return "commands.reload.under_way" if fault.code == "restart_under_way" else "common.unavailable"
    return "commands.reload.done"


# Config of a guild ---------------------------------------------------------------------------------------------------

config = lightbulb.Group(
    "commands.config.name",
    "commands.config.description",
    localize=True,
    default_member_permissions=hikari.Permissions.MANAGE_GUILD,
)


async def _is_staff(ctx: lightbulb.Context, say: Say) -> bool:
    if ctx.member is None:
        await whisper(ctx, say("common.server_only"))
    elif not builtin.is_staff(ctx.member):  # what Discord shows to whom can be changed in the server
        await whisper(ctx, say("common.staff_only"))
    else:
        return await may_go_on(ctx, say)
    return False


def _as_text(found: GuildConfig) -> str:
    text = msgspec.json.format(msgspec.json.encode(found)).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


@config.register
class Get(
    lightbulb.SlashCommand,
    name="commands.config.get.name",
    description="commands.config.get.description",
    localize=True,
):
    """Shows staff what is set for their server."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for this user's eyes alone."""
        say = voice(ctx.interaction)
        if not await _is_staff(ctx, say):
            return
        try:
            found = await builtin.asked("guild_config.get", {"guild_id": str(ctx.guild_id)}, GuildConfig)
        except AskingError:
            await whisper(ctx, say("common.unavailable"))
            return
        text = _as_text(found)
        await whisper(ctx, say("commands.config.none") if found == GuildConfig() else f"```json\n{text}\n```")


def changes(key: str, value: str | None) -> dict[str, Any] | None:
    """Return what a key and a value change, as a merge patch (RFC 7396); None: there is no such key.

    A value that is no JSON is a text. None goes back to the default. `settings.shop.currency` is a key within a key.
    """
    first, *inner = key.strip().split(".")
    if first not in KEYS or (inner and first != "settings") or (first == "settings" and not inner[1:]):
        return None
    patch: Any = None if value is None else _value(first, value)
    # The last dot parts the setting from its extension, whose name may be a module path.
    if first == "settings":
        patch = {".".join(inner[:-1]): {inner[-1]: patch}}
    return {first: patch}


def _value(key: str, text: str) -> Any:  # noqa: ANN401 - JSON
    if key == "off":
        return sorted({name.strip().removeprefix("/") for name in text.split(",")} - {""})
    if key == "locale":
        return text.strip()
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text


async def _complete_key(ctx: lightbulb.AutocompleteContext[str]) -> None:
    typed = str(ctx.focused.value).casefold()
    own = itself.current().config().settings
    keys = ["locale", "off", *(f"settings.{name}.{key}" for name, values in own.items() for key in values)]
    await ctx.respond([key for key in keys if typed in key.casefold() and len(key) <= builtin.MAX_CHOICE_CHARS][:25])


async def _complete_value(ctx: lightbulb.AutocompleteContext[str]) -> None:
    typed = str(ctx.focused.value)
    key = next((str(option.value) for option in ctx.options if option.name == "key"), "")
    known = texts.locales() if key == "locale" else ()
    if key == "off":
        known = tuple(sorted({path[0] for mapping in ctx.client.invokable_commands.values() for path in mapping}))
    await ctx.respond([name for name in known if typed.casefold() in name.casefold()][:25])


@config.register
class Set(
    lightbulb.SlashCommand,
    name="commands.config.set.name",
    description="commands.config.set.description",
    localize=True,
):
    """Lets staff change what is set for their server."""

    key = lightbulb.string(
        "commands.config.set.key.name",
        "commands.config.set.key.description",
        localize=True,
        max_length=300,
        autocomplete=_complete_key,
    )
    value = lightbulb.string(
        "commands.config.set.value.name",
        "commands.config.set.value.description",
        localize=True,
        default=None,
        autocomplete=_complete_value,
    )

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer for this user's eyes alone, with what is set then, or why it is not."""
        say = voice(ctx.interaction)
        if not await _is_staff(ctx, say):
            return
        wanted = changes(self.key, self.value)
        if wanted is None:
            shown = self.key[:100].replace("`", "'")
            keys = "locale, off, settings.EXTENSION.NAME"
            await whisper(ctx, say("commands.config.unknown_key", key=shown, keys=keys))
            return
        try:
            found = await itself.current().change(int(ctx.guild_id or 0), wanted)
        except AskingError as fault:
            refused = fault.code.startswith("config_")
            why = say("commands.config.refused", why=str(fault)[:MAX_SHOWN])
            await whisper(ctx, why if refused else say("common.unavailable"))
            return
        await whisper(ctx, f"{say('commands.config.changed')}\n```json\n{_as_text(found)}\n```")


loader.command(config)
