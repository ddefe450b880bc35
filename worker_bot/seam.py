"""Where hikari is opened: it has no public way to go on with a session or a cache that another process had.

Only this module and `keepsake` touch its private names; a contract test pins them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import hikari
import lightbulb
from hikari.impl.event_manager_base import EventManagerBase
from hikari.impl.rest import RESTClientImpl
from hikari.impl.shard import GatewayShardImpl, _GatewayTransport

from worker_bot import gating, hello, listeners  # noqa: F401 - hello stands in hikari once it is imported
from worker_bot.identify import IdentifyGate
from worker_bot.outbound import GREETINGS, renew_limits

KEEPS_SESSION = 3000
"""The close code that hikari itself uses before it resumes; after 1000 or 1001 Discord would end the session."""

ENDS_SESSION = 1001
CLOSE_S = 5.0
"""How long Discord may take to answer a close frame, as in hikari."""

_HEARTBEAT = 1
log = logging.getLogger("flotilla.session")


class Keeper(Protocol):
    """What is asked while hikari's bot of this process connects and takes events."""

    def gateway_info(self) -> hikari.GatewayBotInfo | None:
        """Return what `GET /gateway/bot` would say; None: it must be asked."""

    def learned(self, info: hikari.GatewayBotInfo) -> hikari.GatewayBotInfo:
        """Take note of what Discord said of its gateway, and return what hikari shall go by."""

    def restore(self, shard: Any) -> None:  # noqa: ANN401 - hikari's shard
        """Take note of a new shard, and give it what it shall go on with."""

    async def connects(self, shard: Any) -> None:  # noqa: ANN401
        """Return when the shard may connect."""

    async def greets(self) -> None:
        """Return when a shard that is connected may identify or resume."""

    def identifies(self, shard: Any) -> None:  # noqa: ANN401
        """Take note that IDENTIFY is being sent."""

    def acknowledges(self, shard: Any) -> int | None:  # noqa: ANN401
        """Return the last sequence number that a heartbeat tells Discord."""

    async def refused(self, shard: Any) -> None:  # noqa: ANN401
        """Take note that Discord did not go on with a shard's session, or begin one. hikari tries again in a while."""

    def closed(self, shard: Any, code: int) -> None:  # noqa: ANN401
        """Take note of a close code, be it an answer to a handshake or the end of a connection that was up."""

    def consume(self, name: str, shard: Any, payload: Any, forward: Callable[[], None]) -> None:  # noqa: ANN401
        """Take an event; `forward` hands it on to hikari."""


_current: list[Keeper] = []
_quiet: list[bool] = []
_sealed: list[bool] = []


def install(keeper: Keeper | None, gate: IdentifyGate | None = None) -> None:
    """Let hikari's next bot of this process ask `keeper`, and `gate` before it identifies; None: as hikari does."""
    _current[:] = [] if keeper is None else [keeper]
    gating.install(gate, None if keeper is None else keeper.identifies)


# A shard's session ---------------------------------------------------------------------------------------------------


def seq_of(shard: Any) -> int | None:  # noqa: ANN401
    """Return the last sequence number that a shard received in its session; None without a session."""
    seq: int | None = shard._seq
    return seq


def give_session(shard: Any, session_id: str, resume_url: str, user_id: int, seq: int) -> None:  # noqa: ANN401
    """Let a shard resume a session when it connects."""
    shard._session_id, shard._resume_gateway_url = session_id, resume_url
    shard._seq, shard._user_id = seq, hikari.Snowflake(user_id)


def know_user(shard: Any, user_id: int) -> None:  # noqa: ANN401
    """Let a shard know the bot's own user before READY tells it."""
    if shard._user_id is None:
        shard._user_id = hikari.Snowflake(user_id)


def drop_session(shard: Any) -> None:  # noqa: ANN401
    """Let a shard identify when it connects."""
    shard._session_id = shard._resume_gateway_url = shard._seq = None


def acknowledged(shard: Any) -> bool:  # noqa: ANN401
    """Return whether Discord has acknowledged the last gateway heartbeat, or none was sent yet."""
    return not shard._last_heartbeat_sent >= shard._last_heartbeat_ack_received


async def close_resumably(shards: Iterable[Any]) -> None:
    """Close the shards' connections, after about 5 s at the latest; hikari makes new ones by itself.

    It waits 1 to 2 s for that if the connection was younger than 30 s. A shard without a connection is left alone.
    """
    closing = (shard._ws.send_close(code=KEEPS_SESSION, message=b"reconnecting") for shard in shards if shard._ws)
    await asyncio.gather(*closing)


def has_connection(shard: Any) -> bool:  # noqa: ANN401
    """Return whether a shard has a connection, be it closing or not greeted yet."""
    return shard._ws is not None


async def end_sessions(shards: Iterable[Any]) -> None:
    """Close the shards' connections and sessions, after about 5 s at the latest; the process must end then."""
    closing = (shard._ws.send_close(code=ENDS_SESSION, message=b"stopped") for shard in shards if shard._ws)
    await asyncio.gather(*closing, return_exceptions=True)


def hand_on(shard: Any, name: str, payload: Any) -> None:  # noqa: ANN401
    """Hand an event on to hikari that came by another way. What hikari does not know is passed over."""
    try:
        _consume(shard._event_manager, name, shard, payload)
    except LookupError:
        log.debug("ignoring unknown event %s", name)


def silence(shards: Iterable[Any], keep: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel every task but those that hold the shards' connections, those in `keep`, and the one that calls.

    No event is dispatched any more either. What the bot's threads do cannot be stopped.
    """
    _sealed[:] = [True]
    kept = {f"{what} (shard {shard.id})" for shard in shards for what in ("keep alive", "heartbeat", "poll events")}
    for task in asyncio.all_tasks() - {asyncio.current_task(), *keep}:
        if task.get_name() not in kept:
            task.cancel()


# A bot's cache -------------------------------------------------------------------------------------------------------


def cache_of(shard: Any) -> Any:  # noqa: ANN401
    """Return the cache that a shard's events change; None if the bot has none."""
    return getattr(shard._event_manager, "_cache", None)


def changes_cache(shard: Any, name: str) -> bool:  # noqa: ANN401
    """Return whether an event is one by which the bot's cache may change."""
    consumer = shard._event_manager._consumers.get(name.lower())
    return consumer is not None and consumer.is_caching


def change_cache(shard: Any, name: str, payload: Any) -> None:  # noqa: ANN401
    """Let an event change the cache without handing it to the bot's code, which has handled it before.

    Whatever hikari raises, it raised the first time too, and left the cache as it is then.
    """
    if not changes_cache(shard, name):
        return
    _quiet.append(True)
    try:
        shard._event_manager._consumers[name.lower()].callback(shard, payload)
    except Exception:
        log.debug("%s did not change the cache", name, exc_info=True)
    finally:
        _quiet.clear()


class Past:
    """The shard of events that another process handled, as far as changing the cache takes one."""

    def __init__(self, shard: Any, user_id: int) -> None:  # noqa: ANN401
        self.id = shard.id
        self.shard_count = shard.shard_count
        self._event_manager = shard._event_manager
        self._user_id = hikari.Snowflake(user_id)

    def get_user_id(self) -> hikari.Snowflake:
        """Return the bot's own user."""
        return self._user_id

    async def request_guild_members(self, *_: object, **__: object) -> None:
        """Ask for nobody: the answers to what was asked then are among the events."""


def remember_me(shard: Any, me: dict[str, Any]) -> None:  # noqa: ANN401
    """Put the bot's own user into the cache, where READY would have put it, unless it is there."""
    cache = cache_of(shard)
    if cache is None or cache.get_me() is not None:
        return
    try:
        cache.set_me(shard._event_manager._entity_factory.deserialize_my_user(me))
    except (LookupError, TypeError, ValueError, AttributeError) as fault:
        log.warning("the bot's own user is not known until the next session: %r", fault)


def knows_guilds(cache: Any) -> bool:  # noqa: ANN401
    """Return whether there is anything of any guild in a cache."""
    return bool(len(cache._guild_entries))


def cache_sizes(cache: Any) -> dict[str, int]:  # noqa: ANN401
    """Return how many of each kind a cache keeps, without the copies that its views make; nothing if it is none."""
    try:
        sizes = {name: len(getattr(cache, entries)) for name, entries in _ENTRIES.items()}
        records = cache._guild_entries.values()
        sizes["guilds"] = sum(record.guild is not None for record in records)
        for name in ("members", "presences", "voice_states"):
            sizes[name] = sum(len(getattr(record, name) or ()) for record in records)
    except (AttributeError, TypeError):
        return {}  # a bot may bring a cache of its own
    return {name: size for name, size in sizes.items() if size}


_ENTRIES = {
    "guild_channels": "_guild_channel_entries",
    "threads": "_guild_thread_entries",
    "roles": "_role_entries",
    "emojis": "_emoji_entries",
    "stickers": "_sticker_entries",
    "messages": "_message_entries",
    "users": "_user_entries",
    "invites": "_invite_entries",
}


def forget_guilds(shard: Any, but: Iterable[int]) -> None:  # noqa: ANN401
    """Take out of the cache what is known of the shard's guilds, except of those in `but`."""
    for guild_id in _others(shard, but):
        change_cache(shard, "GUILD_DELETE", {"id": str(guild_id)})


def leave_guilds(shard: Any, but: Iterable[int]) -> None:  # noqa: ANN401
    """Do the same, and let the bot's code hear that it has left them: Discord told nobody while it was away."""
    for guild_id in _others(shard, but):
        hand_on(shard, "GUILD_DELETE", {"id": str(guild_id)})


def _others(shard: Any, but: Iterable[int]) -> list[int]:  # noqa: ANN401
    kept, shard_of = frozenset(but), hikari.snowflakes.calculate_shard_id
    known = [int(each) for each in cache_of(shard)._guild_entries]
    return [each for each in known if each not in kept and shard_of(shard.shard_count, each) == shard.id]


def under_way(app: hikari.GatewayBot, clients: Iterable[lightbulb.Client]) -> set[asyncio.Task[Any]]:
    """Return the tasks that handle events right now."""
    of_clients = (task for client in clients for task in client._asyncio_tasks)
    return {task for task in (*app._event_manager._dispatched_tasks, *of_clients) if not task.done()}


# What is put in hikari's place ---------------------------------------------------------------------------------------


async def _fetch_gateway_bot_info(rest: RESTClientImpl) -> hikari.GatewayBotInfo:
    if not _current:
        return await _fetch(rest)
    return _current[0].gateway_info() or _current[0].learned(await _fetch(rest))


def _consume_raw_event(manager: EventManagerBase, name: str, shard: Any, payload: Any) -> None:  # noqa: ANN401
    if not _current:
        _consume(manager, name, shard, payload)
    else:
        _current[0].consume(name, shard, payload, lambda: _consume(manager, name, shard, payload))


def _dispatch_unless_quiet(manager: EventManagerBase, event: Any, **how: Any) -> Any:  # noqa: ANN401
    if _sealed:
        nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return nothing
    return None if _quiet else _dispatch(manager, event, **how)


def _init(shard: GatewayShardImpl, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    _make_shard(shard, *arguments, **named)
    if _current:
        _current[0].restore(shard)


async def _connect_when_allowed(shard: GatewayShardImpl) -> tuple[asyncio.Task[None], ...]:
    if not _current:
        return await _connect(shard)
    await _current[0].connects(shard)
    renew_limits(shard)
    try:
        tasks = await _connect(shard)
    except hikari.GatewayServerClosedConnectionError as error:
        _current[0].closed(shard, int(error.code or 0))
        raise
    if seq_of(shard) is None:
        await _current[0].refused(shard)
    return tasks


async def _poll_and_tell(shard: GatewayShardImpl) -> None:
    try:
        await _poll(shard)
    except hikari.GatewayServerClosedConnectionError as error:
        if _current and shard.is_connected:  # otherwise it answers the handshake, which is told there
            _current[0].closed(shard, int(error.code or 0))
        raise


async def _send_when_allowed(shard: GatewayShardImpl, data: Any, **how: Any) -> None:  # noqa: ANN401
    if _current and data["op"] in GREETINGS:
        await _current[0].greets()
    if _current and data["op"] == _HEARTBEAT:
        data = {**data, "d": _current[0].acknowledges(shard)}
    await _send(shard, data, **how)


def _user_id_of(shard: GatewayShardImpl) -> hikari.Snowflake:
    # hikari's raises until RESUMED, and so loses each GUILD_CREATE that is replayed before it.
    return _get_user_id(shard) if shard._user_id is None else shard._user_id


async def _close_at_once(transport: Any, *, code: int, message: bytes) -> None:  # noqa: ANN401 - hikari's
    """As hikari does, but for the quarter of a second that it waits for TLS: since 3.12.6 aiohttp does by itself."""
    if transport._sent_close:
        return
    transport._sent_close = True
    try:
        await asyncio.wait_for(transport._ws.close(code=code, message=message), CLOSE_S)
    except TimeoutError:
        log.debug("Discord did not answer a close frame within %s s", CLOSE_S)
    finally:
        await transport._exit_stack.aclose()


_fetch = RESTClientImpl.fetch_gateway_bot_info
_consume, _dispatch = EventManagerBase.consume_raw_event, listeners.dispatch
_make_shard, _connect, _send = GatewayShardImpl.__init__, GatewayShardImpl._connect, GatewayShardImpl._send_json
_get_user_id, _poll = GatewayShardImpl.get_user_id, GatewayShardImpl._poll_events

RESTClientImpl.fetch_gateway_bot_info = _fetch_gateway_bot_info  # type: ignore[assignment, method-assign]
EventManagerBase.consume_raw_event = _consume_raw_event  # type: ignore[assignment, method-assign]
EventManagerBase.dispatch = _dispatch_unless_quiet  # type: ignore[assignment, method-assign]
_GatewayTransport.send_close = _close_at_once  # type: ignore[method-assign, assignment]
GatewayShardImpl.__init__ = _init  # type: ignore[method-assign, assignment]
GatewayShardImpl._connect = _connect_when_allowed  # type: ignore[method-assign, assignment]
GatewayShardImpl._poll_events = _poll_and_tell  # type: ignore[method-assign, assignment]
GatewayShardImpl._send_json = _send_when_allowed  # type: ignore[method-assign, assignment]
GatewayShardImpl.get_user_id = _user_id_of  # type: ignore[method-assign, assignment]
