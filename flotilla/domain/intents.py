"""Discord's gateway intents by name, and which of them an operator has to switch on first. Pure.

Source: Discord, Gateway, List of Intents and Privileged Intents. The names are those that hikari's users know.
"""

from typing import Final

INTENTS: Final = {
    "GUILDS": 1 << 0,
    "GUILD_MEMBERS": 1 << 1,
    "GUILD_MODERATION": 1 << 2,
    "GUILD_EMOJIS": 1 << 3,
    "GUILD_INTEGRATIONS": 1 << 4,
    "GUILD_WEBHOOKS": 1 << 5,
    "GUILD_INVITES": 1 << 6,
    "GUILD_VOICE_STATES": 1 << 7,
    "GUILD_PRESENCES": 1 << 8,
    "GUILD_MESSAGES": 1 << 9,
    "GUILD_MESSAGE_REACTIONS": 1 << 10,
    "GUILD_MESSAGE_TYPING": 1 << 11,
    "DM_MESSAGES": 1 << 12,
    "DM_MESSAGE_REACTIONS": 1 << 13,
    "DM_MESSAGE_TYPING": 1 << 14,
    "MESSAGE_CONTENT": 1 << 15,
    "GUILD_SCHEDULED_EVENTS": 1 << 16,
    "AUTO_MODERATION_CONFIGURATION": 1 << 20,
    "AUTO_MODERATION_EXECUTION": 1 << 21,
    "GUILD_MESSAGE_POLLS": 1 << 24,
    "DIRECT_MESSAGE_POLLS": 1 << 25,
}

PRIVILEGED: Final = frozenset({"GUILD_MEMBERS", "GUILD_PRESENCES", "MESSAGE_CONTENT"})
"""Those that Discord gives only to an application that has them switched on in the Developer Portal."""

UNPRIVILEGED: Final = tuple(name for name in INTENTS if name not in PRIVILEGED)
"""What a bot has of which nothing is said: all that need no approval."""


def wanted(names: tuple[str, ...] | None) -> frozenset[str]:
    """Return the names of the intents of a config; None: all that need no approval."""
    return frozenset(UNPRIVILEGED if names is None else names)


def bits(names: frozenset[str]) -> int:
    """Return intents as Discord is told them. Raises KeyError for a name that is none."""
    return sum(INTENTS[name] for name in names)
