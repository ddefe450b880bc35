"""Guilds as GUILD_CREATE carries them, for tests and benchmarks of a bot's cache, and hikari's bot to put them in."""

from typing import Any

import hikari
from hikari.impl.rate_limits import WindowedBurstRateLimiter

from tests.builders import token_of

ME = 42
LEAN = (
    hikari.api.CacheComponents.ME
    | hikari.api.CacheComponents.GUILDS
    | hikari.api.CacheComponents.GUILD_CHANNELS
    | hikari.api.CacheComponents.ROLES
    | hikari.api.CacheComponents.MEMBERS
)
USER: dict[str, Any] = {
    "id": str(ME),
    "username": "bot",
    "discriminator": "0",
    "global_name": None,
    "avatar": None,
    "bot": True,
    "mfa_enabled": False,
    "flags": 0,
}


def bot(components: hikari.api.CacheComponents = LEAN) -> hikari.GatewayBot:
    """Return a bot that never connects. Must be called where an event loop runs."""
    settings = hikari.impl.CacheSettings(components=components)
    return hikari.GatewayBot(
        token_of(ME), banner=None, logs=None, suppress_optimization_warning=True, cache_settings=settings
    )


class Shard:
    """A shard with the names that hikari's has."""

    def __init__(self, app: hikari.GatewayBot | None = None, shard_id: int = 0, shard_count: int = 1) -> None:
        self.id = shard_id
        self.shard_count = shard_count
        self.is_connected = True
        self._event_manager = app._event_manager if app is not None else None
        self._ws = None
        self._session_id: str | None = None
        self._resume_gateway_url: str | None = None
        self._seq: int | None = None
        self._user_id: hikari.Snowflake | None = None
        self._non_priority_rate_limit = WindowedBurstRateLimiter("others", 60.0, 117)
        self._total_rate_limit = WindowedBurstRateLimiter("all", 60.0, 120)

    def get_user_id(self) -> hikari.Snowflake:
        return hikari.Snowflake(ME)


def guild_id(number: int) -> int:
    """Return the id of a guild; consecutive numbers lie on consecutive shards."""
    return (number + 1) << 22


def guild(number: int, channels: int = 3, roles: int = 2) -> dict[str, Any]:
    """Return a guild with the bot as its only member."""
    own = guild_id(number)
    return {
        "id": str(own),
        "name": f"guild {number}",
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "owner_id": "7",
        "afk_channel_id": None,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "roles": [role(own + (1 + n if n else 0), n) for n in range(roles)],
        "emojis": [],
        "features": [],
        "mfa_level": 0,
        "application_id": None,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "max_presences": None,
        "max_members": 500,
        "vanity_url_code": None,
        "description": None,
        "banner": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "preferred_locale": "en-US",
        "public_updates_channel_id": None,
        "nsfw_level": 0,
        "stickers": [],
        "premium_progress_bar_enabled": False,
        "safety_alerts_channel_id": None,
        "joined_at": "2024-01-01T00:00:00+00:00",
        "large": False,
        "unavailable": False,
        "member_count": 2,
        "voice_states": [],
        "members": [member(own)],
        "channels": [channel(number, n) for n in range(channels)],
        "threads": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "incidents_data": None,
        "hub_type": None,
    }


def role(own: int, number: int) -> dict[str, Any]:
    """Return a guild's role."""
    colors = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    return {
        "id": str(own),
        "name": f"role {number}",
        "color": 0,
        "colors": colors,
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": number,
        "permissions": "104324673",
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }


def member(own: int) -> dict[str, Any]:
    """Return the bot as a member of a guild."""
    return {
        "user": USER,
        "nick": None,
        "avatar": None,
        "roles": [],
        "joined_at": "2024-01-01T00:00:00+00:00",
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "communication_disabled_until": None,
        "guild_id": str(own),
    }


def channel(number: int, position: int) -> dict[str, Any]:
    """Return a channel of a guild, as CHANNEL_CREATE carries it."""
    own = guild_id(number)
    return {
        "id": str(own + 1000 + position),
        "guild_id": str(own),
        "type": 0,
        "name": f"channel-{position}",
        "position": position,
        "permission_overwrites": [{"id": str(own), "type": 0, "allow": "0", "deny": "1024"}],
        "nsfw": False,
        "topic": "what it is about",
        "last_message_id": None,
        "parent_id": None,
        "rate_limit_per_user": 0,
    }


def ready(session_id: str, *guilds: int) -> dict[str, Any]:
    """Return READY of a session with guilds by their numbers."""
    return {
        "v": 10,
        "user": USER,
        "guilds": [{"id": str(guild_id(number)), "unavailable": True} for number in guilds],
        "session_id": session_id,
        "resume_gateway_url": "wss://resume",
        "application": {"id": str(ME), "flags": 0},
        "shard": [0, 1],
    }
