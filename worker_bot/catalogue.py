"""The commands of a bot as its users may see them: which of them, and what they are called in their language."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hikari
import lightbulb
from lightbulb.internal.constants import GLOBAL_COMMAND_KEY

from flotilla.domain.config import GuildConfig
from worker_bot import texts

OWNERS: set[str] = set()
"""Commands, by their first names, that only the bot's owners can use."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command. name: with its subcommands, as Discord knows it. shown: the same in the user's language."""

    name: str
    shown: str
    description: str


async def entries(
    client: lightbulb.Client,
    interaction: Any,  # noqa: ANN401 - one of a command, an autocomplete or a component
    guild: GuildConfig,
    *,
    owner: bool,
) -> list[Entry]:
    """Return the slash commands that a user may use where they are, by their names."""
    found, locale = {}, texts.spoken(interaction.locale, interaction.guild_locale, interaction.guild_id)
    for path, command in _commands(client, interaction.guild_id):
        root = command._command_data.parent
        root = getattr(root, "parent", root) or command._command_data
        if path[0] in guild.off or (path[0] in OWNERS and not owner) or not _may_use(root, interaction):
            continue
        names, description = await _said(client, command._command_data, locale)
        found[path] = Entry(" ".join(path), names, description)
    return [found[path] for path in sorted(found)]


def _commands(client: lightbulb.Client, guild_id: int | None) -> Iterator[tuple[tuple[str, ...], Any]]:
    for scope in (GLOBAL_COMMAND_KEY, guild_id):
        for path, group in client.invokable_commands.get(scope, {}).items() if scope is not None else ():
            if group.slash is not None:
                yield path, group.slash


def _may_use(root: Any, interaction: Any) -> bool:  # noqa: ANN401 - a command's or a group's data
    """Return whether Discord shows it here; what a guild's staff changed for single commands is not known."""
    if interaction.member is None:
        return not root.contexts or hikari.ApplicationContextType.BOT_DM in root.contexts
    held, needed = interaction.member.permissions, root.default_member_permissions
    if needed is hikari.UNDEFINED or hikari.Permissions.ADMINISTRATOR in held:
        return True
    return bool(needed != hikari.Permissions.NONE and (held & needed) == needed)


async def _said(client: lightbulb.Client, data: Any, locale: str) -> tuple[str, str]:  # noqa: ANN401
    names, each = [], data
    while each is not None:
        names.append(await _localized(client, each.name, locale, localize=each.localize))
        each = getattr(each, "parent", None)
    return " ".join(reversed(names)), await _localized(client, data.description, locale, localize=data.localize)


async def _localized(client: lightbulb.Client, text: str, locale: str, *, localize: bool) -> str:
    if not localize:
        return text
    found = await lightbulb.utils.maybe_await(client.localization_provider(text))
    return str(found.get(hikari.Locale(locale)) or found.get(client.default_locale) or text)
