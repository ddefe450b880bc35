"""Discord's objects as JSON: users, members, guilds, channels, applications, as the API description has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox import limits

Json = dict[str, Any]

PERMISSIONS = str((1 << 53) - 1)  # every permission: the sandbox does not judge permissions yet
_JOINED_AT = "2024-01-01T00:00:00+00:00"


@dataclass(frozen=True, slots=True)
class User:
    """A user, bot or person."""

    id: str
    username: str
    bot: bool = False

    def as_json(self) -> Json:
        """Return Discord's user object."""
        return {
            "id": self.id,
            "username": self.username,
            "avatar": None,
            "discriminator": "0000" if self.bot else "0",
            "public_flags": 0,
            "flags": 0,
            "bot": self.bot,
            "banner": None,
            "accent_color": None,
            "global_name": None if self.bot else self.username,
            "avatar_decoration_data": None,
            "collectibles": None,
            "primary_guild": None,
        }

    def as_own_json(self) -> Json:
        """Return the user object Discord shows to the user itself."""
        return self.as_json() | {
            "mfa_enabled": True,
            "locale": "en-US",
            "premium_type": 0,
            "email": None,
            "verified": True,
        }


@dataclass(frozen=True, slots=True)
class Home:
    """The guild every application is a member of: one text channel and an owner."""

    guild_id: str
    channel_id: str
    owner: User


def member(user: User) -> Json:
    """Return a guild member object."""
    return {
        "user": user.as_json(),
        "avatar": None,
        "banner": None,
        "communication_disabled_until": None,
        "flags": 0,
        "joined_at": _JOINED_AT,
        "nick": None,
        "pending": False,
        "premium_since": None,
        "roles": [],
        "mute": False,
        "deaf": False,
    }


def channel(home: Home, last_message_id: str | None = None) -> Json:
    """Return the text channel of a home guild."""
    return {
        "id": home.channel_id,
        "type": 0,
        "flags": 0,
        "guild_id": home.guild_id,
        "name": "general",
        "topic": None,
        "position": 0,
        "parent_id": None,
        "nsfw": False,
        "rate_limit_per_user": 0,
        "permission_overwrites": [],
        "last_message_id": last_message_id,
    }


def everyone_role(guild_id: str) -> Json:
    """Return the @everyone role of a guild, whose id is the guild's."""
    return {
        "id": guild_id,
        "name": "@everyone",
        "description": None,
        "permissions": PERMISSIONS,
        "position": 0,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def guild(home: Home) -> Json:
    """Return the guild object of REST."""
    nothing = dict.fromkeys((
        "icon", "description", "home_header", "splash", "discovery_splash", "banner", "application_id",
        "afk_channel_id", "widget_channel_id", "max_presences", "vanity_url_code", "rules_channel_id",
        "safety_alerts_channel_id", "public_updates_channel_id", "incidents_data",
    ))  # fmt: skip
    zero = dict.fromkeys((
        "system_channel_flags", "verification_level", "default_message_notifications", "mfa_level",
        "explicit_content_filter", "premium_tier", "premium_subscription_count", "nsfw_level",
    ), 0)  # fmt: skip
    return {
        **nothing,
        **zero,
        "id": home.guild_id,
        "name": "Sandbox",
        "owner_id": home.owner.id,
        "features": [],
        "roles": [everyone_role(home.guild_id)],
        "emojis": [],
        "stickers": [],
        "region": "deprecated",
        "afk_timeout": 300,
        "system_channel_id": home.channel_id,
        "widget_enabled": False,
        "max_members": 500_000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "preferred_locale": "en-US",
        "premium_progress_bar_enabled": False,
        "nsfw": False,
    }


def gateway_guild(home: Home, shown: Sequence[User]) -> Json:
    """Return the guild as GUILD_CREATE carries it, with the members `shown`.

    `unavailable` false marks a guild that was known at READY.
    """
    return guild(home) | {
        "joined_at": _JOINED_AT,
        "large": False,
        "unavailable": False,
        "member_count": 2,
        "voice_states": [],
        "members": [member(user) for user in shown],
        "channels": [channel(home)],
        "threads": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def application(bot: User, owner: User, verify_key: str) -> Json:
    """Return the application object Discord shows to the application itself."""
    return {
        "id": bot.id,
        "name": bot.username,
        "icon": None,
        "description": "",
        "type": None,
        "bot": bot.as_json(),
        "bot_public": True,
        "bot_require_code_grant": False,
        "integration_types_config": {
            "0": {"oauth2_install_params": {"scopes": ["applications.commands", "bot"], "permissions": "0"}}
        },
        "verify_key": verify_key,
        "flags": 0,
        "flags_new": "0",
        "tags": [],
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "owner": owner.as_json(),
        "approximate_guild_count": 1,
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0,
        "team": None,
        "eligible_oauth2_scopes": [],
    }


def ready(bot: User, session_id: str, shard: tuple[int, int], resume_url: str, guild_ids: list[str]) -> Json:
    """Return the READY event; its guilds are unavailable until their GUILD_CREATE."""
    return {
        "v": limits.API_VERSION,
        "user": bot.as_own_json(),
        "application": {"id": bot.id, "flags": 0},
        "session_id": session_id,
        "session_type": "normal",
        "resume_gateway_url": resume_url,
        "shard": list(shard),
        "guilds": [{"id": guild_id, "unavailable": True} for guild_id in guild_ids],
        "private_channels": [],
        "relationships": [],
        "presences": [],
        "user_settings": {},
        "_trace": [],
    }
