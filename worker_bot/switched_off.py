"""Keeps commands from running where a server's staff have switched them off, and says so to who uses them."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import hikari

from flotilla.domain.config import GuildConfig
from worker_bot import texts

MAX_TOLD: Final = 200
"""Interactions that are remembered as answered: several listeners of the bot's code may get each."""


class SwitchedOff:
    """Of one bot. guild: returns what is set in a server; must answer soon, and not raise."""

    def __init__(self, guild: Callable[[int], Awaitable[GuildConfig]]) -> None:
        self._guild = guild
        self._told: OrderedDict[int, None] = OrderedDict()

    async def lets(self, interaction: hikari.PartialInteraction) -> bool:
        """Return whether the bot's code is to have an interaction; if not, its user has been told."""
        if not isinstance(interaction, hikari.CommandInteraction | hikari.AutocompleteInteraction):
            return True  # a button is of a message that is there already
        if interaction.guild_id is None:
            return True
        found = await self._guild(int(interaction.guild_id))
        if interaction.command_name not in found.off:
            return True
        if interaction.id not in self._told:
            self._told[interaction.id] = None
            if len(self._told) > MAX_TOLD:
                self._told.popitem(last=False)
            await _tell(interaction)
        return False


async def _tell(interaction: Any) -> None:  # noqa: ANN401 - a command's or an autocomplete's
    if isinstance(interaction, hikari.AutocompleteInteraction):
        await interaction.create_response([])
        return
    locale = texts.spoken(interaction.locale, interaction.guild_locale, interaction.guild_id)
    await interaction.create_initial_response(
        hikari.ResponseType.MESSAGE_CREATE, texts.say(locale, "common.off"), flags=hikari.MessageFlag.EPHEMERAL
    )
