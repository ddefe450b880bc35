"""Discord's objects as JSON: members, guilds, channels, roles, applications, as the API description has them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sandbox import limits
from sandbox.world import permissions
from sandbox.world.guilds import Channel, ChannelType, Guild, Member, Role
from sandbox.world.users import User

Json = dict[str, Any]


def timestamp(now: float) -> str:
    """Return Unix seconds as Discord writes times."""
    return datetime.fromtimestamp(now, UTC).isoformat()


def member(row: Member) -> Json:
    """Return a guild member object."""
    return {
        "user": row.user.as_json(),
        "avatar": None,
        "banner": None,
        "communication_disabled_until": row.timeout_until,
        "flags": 0,
        "joined_at": timestamp(row.joined_at),
        "nick": row.nick,
        "pending": False,
        "premium_since": None,
        "roles": list(row.roles),
        "mute": False,
        "deaf": False,
    }


def channel(row: Channel) -> Json:
    """Return a guild's channel, or a private channel as its bot sees it."""
    if row.kind is ChannelType.DM:
        people = [user.as_json() for user in row.recipients if not user.bot]
        return {
            "id": row.id,
            "type": 1,
            "flags": 0,
            "last_message_id": row.last_message_id,
            "recipients": people,
        }
    shown: Json = {
        "id": row.id,
        "type": int(row.kind),
        "flags": 0,
        "guild_id": row.guild_id,
        "name": row.name,
        "position": row.position,
        "parent_id": row.parent_id,
        "nsfw": row.nsfw,
        "permission_overwrites": [
            {"id": o.id, "type": o.kind, "allow": str(o.allow), "deny": str(o.deny)} for o in row.overwrites.values()
        ],
    }
    if row.kind is not ChannelType.GUILD_CATEGORY:
        shown["rate_limit_per_user"] = row.rate_limit_per_user
        shown["last_message_id"] = row.last_message_id
        if row.last_pin_at is not None:
            shown["last_pin_timestamp"] = timestamp(row.last_pin_at)
    if row.kind is ChannelType.GUILD_VOICE:
        shown |= {"bitrate": 64_000, "user_limit": 0, "rtc_region": None}
    elif row.kind is not ChannelType.GUILD_CATEGORY:
        shown["topic"] = row.topic
    return shown


def role(row: Role) -> Json:
    """Return a role object."""
    shown: Json = {
        "id": row.id,
        "name": row.name,
        "description": None,
        "permissions": str(row.permissions),
        "position": row.position,
        "color": row.color,
        "colors": {"primary_color": row.color, "secondary_color": None, "tertiary_color": None},
        "hoist": row.hoist,
        "managed": row.bot_id is not None,
        "mentionable": row.mentionable,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }
    return shown | {"tags": {"bot_id": row.bot_id}} if row.bot_id else shown


_GUILD_NULLS = dict.fromkeys((
    "icon", "description", "home_header", "splash", "discovery_splash", "banner", "application_id",
    "afk_channel_id", "widget_channel_id", "max_presences", "vanity_url_code", "rules_channel_id",
    "safety_alerts_channel_id", "public_updates_channel_id", "incidents_data",
))  # fmt: skip
_GUILD_ZEROS = dict.fromkeys((
    "system_channel_flags", "verification_level", "default_message_notifications", "mfa_level",
    "explicit_content_filter", "premium_tier", "premium_subscription_count", "nsfw_level",
), 0)  # fmt: skip


def guild(row: Guild) -> Json:
    """Return the guild object of REST."""
    return {
        **_GUILD_NULLS,
        **_GUILD_ZEROS,
        "id": row.id,
        "name": row.name,
        "owner_id": row.owner_id,
        "features": [],
        "roles": [role(each) for each in row.roles.values()],
        "emojis": [],
        "stickers": [],
        "region": "deprecated",
        "afk_timeout": 300,
        "system_channel_id": row.system_channel_id,
        "widget_enabled": False,
        "max_members": 500_000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "preferred_locale": "en-US",
        "premium_progress_bar_enabled": False,
        "nsfw": False,
    }


def gateway_guild(row: Guild, viewer_id: str, shown: Iterable[Member]) -> Json:
    """Return the guild as GUILD_CREATE carries it to the bot `viewer_id`, with the members `shown`.

    All channels are listed, also those the bot may not view, as Discord does it.
    """
    me = row.members[viewer_id]
    return guild(row) | {
        "joined_at": timestamp(me.joined_at),
        "large": len(row.members) > limits.LARGE_GUILD_MEMBERS,
        "member_count": len(row.members),
        "voice_states": [],
        "members": [member(each) for each in shown],
        "channels": [channel(each) for each in row.channels.values()],
        "threads": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def own_guild(row: Guild, user_id: str) -> Json:
    """Return the guild as `GET /users/@me/guilds` lists it to one of its members."""
    return {
        "id": row.id,
        "name": row.name,
        "icon": None,
        "banner": None,
        "owner": row.owner_id == user_id,
        "permissions": str(permissions.in_guild(row, user_id)),
        "features": [],
    }


def application(bot: User, owner: User, verify_key: str, guild_count: int) -> Json:
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
        "approximate_guild_count": guild_count,
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
