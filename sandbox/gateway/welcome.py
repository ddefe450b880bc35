"""What a session is told on its own account: READY, its guilds, and the members it asks for."""

from collections.abc import Sequence
from typing import Any

from sandbox import limits
from sandbox.gateway.intents import GUILD_MEMBERS, GUILD_PRESENCES
from sandbox.gateway.session import Session
from sandbox.world import objects
from sandbox.world.applications import Application
from sandbox.world.guilds import Guild, Member
from sandbox.world.world import World

_NONCE_MAX_BYTES = 32  # documented: Request Guild Members; a longer nonce is ignored
_USER_IDS_MAX = 100  # documented
_QUERY_LIMIT_MAX = 100  # documented


def welcome(world: World, application: Application, session: Session, url: str) -> None:
    """Send READY, then GUILD_CREATE for each guild of the session's shard. url: where the client resumes."""
    guilds = [guild for guild in world.guilds_of(application.id) if session.wants("GUILD_CREATE", guild.id)]
    on_shard = [guild.id for guild in world.guilds_of(application.id) if session.wants("READY", guild.id)]
    session.dispatch("READY", objects.ready(application.bot, session.id, session.shard, url, on_shard))
    for guild in guilds:
        session.dispatch("GUILD_CREATE", _as_seen_by(session, guild) | {"unavailable": False})


def joined(session: Session, guild: Guild) -> None:
    """Send GUILD_CREATE for a guild that the bot has just joined; clients tell it by the missing `unavailable`."""
    session.dispatch("GUILD_CREATE", _as_seen_by(session, guild))


def _as_seen_by(session: Session, guild: Guild) -> objects.Json:
    # Documented: without GUILD_PRESENCES only the bot itself and users in voice channels are listed.
    me = guild.members[session.application_id]
    shown = guild.members.values() if session.intents & GUILD_PRESENCES else [me]
    return objects.gateway_guild(guild, session.application_id, shown)


def send_members(world: World, session: Session, body: Any) -> None:  # noqa: ANN401
    """Answer a request for members (op 8) in chunks; what is no valid request of a guild of the bot is ignored."""
    guild = world.guilds.get(str(body.get("guild_id"))) if isinstance(body, dict) else None
    if guild is None or session.application_id not in guild.members:
        return
    extra: dict[str, Any] = {}
    if body.get("user_ids") is not None:
        wanted = body["user_ids"] if isinstance(body["user_ids"], list) else [body["user_ids"]]
        wanted = [str(each) for each in wanted[:_USER_IDS_MAX]]
        found = [guild.members[each] for each in wanted if each in guild.members]
        extra = {"not_found": [each for each in wanted if each not in guild.members]}
    else:
        found = _queried(guild, session, body)
    nonce = body.get("nonce")
    if isinstance(nonce, str) and len(nonce.encode()) <= _NONCE_MAX_BYTES:
        extra["nonce"] = nonce
    if body.get("presences") and session.intents & GUILD_PRESENCES:
        extra["presences"] = []
    _send_chunks(session, guild, found, extra)


def _queried(guild: Guild, session: Session, body: dict[str, Any]) -> list[Member]:
    query, limit = str(body.get("query") or "").lower(), body.get("limit")
    limit = limit if isinstance(limit, int) and not isinstance(limit, bool) else 0
    if not query and not limit:
        everyone = list(guild.members.values())
        return everyone if session.intents & GUILD_MEMBERS else [guild.members[session.application_id]]
    matches = [row for row in guild.members.values() if _named(row).startswith(query)]
    return matches[: min(limit or _QUERY_LIMIT_MAX, _QUERY_LIMIT_MAX)]


def _named(row: Member) -> str:
    return (row.nick or row.user.username).lower()


def _send_chunks(session: Session, guild: Guild, found: Sequence[Member], extra: dict[str, Any]) -> None:
    size = limits.MEMBERS_CHUNK
    chunks = [found[at : at + size] for at in range(0, len(found), size)] or [[]]
    for index, rows in enumerate(chunks):
        shown = {"guild_id": guild.id, "chunk_index": index, "chunk_count": len(chunks)}
        session.dispatch("GUILD_MEMBERS_CHUNK", {**shown, **extra, "members": [objects.member(row) for row in rows]})
