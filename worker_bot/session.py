"""Carries a gateway session from one process to the next, so that a restart loses no event and spends no IDENTIFY.

The only module that touches hikari's private names, for hikari has no public way to do this; a contract test pins them.
The session lies in a small file that the worker maps into memory: it outlives a SIGKILL, and an event costs one write
to it. The file is worth nothing without the bot's token.
"""

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import hikari
import lightbulb
import msgspec
from hikari.impl.event_manager_base import EventManagerBase
from hikari.impl.rest import RESTClientImpl
from hikari.impl.shard import GatewayShardImpl

RESUMABLE_S = 120.0
"""How old a session may be and still be tried. Discord documents "a few minutes"; a refusal costs only a round trip."""

CODE = os.urandom(8).hex()
"""Which code this process runs: workers inherit it from their fork server, and another fork server has another."""

_KEEPS_SESSION = 3000
"""The close code that hikari itself uses before it resumes."""

_SIZE = 4096
_HEAD = struct.Struct("<8sQdI")  # magic, last sequence number, Unix time of it, length of the session behind
_MARK = struct.Struct("<Qd")
_MARK_AT = 8
_MAGIC = b"flotses1"
_EMPTY = b"\0" * 8


class Session(msgspec.Struct, frozen=True):
    """What READY said, and what else a successor needs to go on.

    me: the bot's own user as READY carried it. gateway_url: where a new session would begin. code: of which fork server
    the worker was; the same one has the same commands.
    """

    session_id: str
    resume_url: str
    gateway_url: str
    user_id: int
    me: dict[str, Any]
    code: str


class SessionFile:
    """The session of one bot on disk. Only one process at a time may have it open."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != _SIZE:
                os.ftruncate(descriptor, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    def take(self, now: float) -> tuple[Session, int] | None:
        """Return the session left behind and its last sequence number, once: what cannot be resumed is not tried twice.

        None if there is none, if it is older than `RESUMABLE_S` at Unix second `now`, or if it is damaged.
        """
        magic, seq, at, length = _HEAD.unpack_from(self._map)
        body = bytes(self._map[_HEAD.size : _HEAD.size + min(length, _SIZE - _HEAD.size)])
        self.clear()
        if magic != _MAGIC or not 0 <= now - at <= RESUMABLE_S:
            return None
        try:
            return msgspec.msgpack.decode(body, type=Session), seq
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def keep(self, session: Session, seq: int, now: float) -> None:
        """Write a session down. One that does not fit is not kept: its bot restarts cold."""
        body = msgspec.msgpack.encode(session)
        if _HEAD.size + len(body) > _SIZE:
            self.clear()
            return
        self._map[_HEAD.size : _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._map, 0, _MAGIC, seq, now, len(body))

    def mark(self, seq: int, now: float) -> None:
        """Note the last event that was handed to the bot's code."""
        _MARK.pack_into(self._map, _MARK_AT, seq, now)

    def clear(self) -> None:
        """Forget the session: it has ended, or somebody goes on with it."""
        self._map[:8] = _EMPTY


class Continuity:
    """What makes hikari go on with the session of the worker before, and keep its own for the worker after.

    A bot of several shards is left as hikari has it: it restarts cold.
    """

    def __init__(self, file: SessionFile, code: str = CODE) -> None:
        self._file = file
        self._code = code
        self._left = file.take(time.time())
        self._session: Session | None = None
        self._gateway_url = ""
        self._sealed = False
        self._shards: list[Any] = []  # hikari's own list has a shard only some time after it is READY
        self._to_drop: set[int] = set()
        self.events = 0
        """How many events were handed to the bot's code."""
        self.last_event_at = float("-inf")
        """When the last of them was, on the monotonic clock; minus infinity before the first."""

    @property
    def resumes(self) -> bool:
        """Whether there is a session to go on with."""
        return self._left is not None

    @property
    def same_code(self) -> bool:
        """Whether the worker before had the same code, and so the same commands."""
        return self._left is not None and self._left[0].code == self._code

    def seal(self) -> None:
        """Hand no further event to the bot: Discord replays to the successor what comes from now on."""
        self._sealed = True

    def end(self) -> None:
        """Forget the session: the bot has closed it for good."""
        self._sealed = True
        self._file.clear()

    async def reconnect(self, *, fresh: bool) -> None:
        """Close every gateway connection in a way that keeps its session, and let hikari connect anew.

        fresh: give the sessions up, so that hikari identifies; what Discord would have replayed is lost. Otherwise it
        resumes. Returns when the connections are closed, after about 5 s at the latest. hikari waits 1 to 2 s before
        it connects if the connection was younger than 30 s. A connection that is just being made is left alone.
        """
        if fresh:
            self._to_drop |= {shard.id for shard in self._shards}
        # With a close code of 1000 or 1001 Discord would end the session and show the bot offline meanwhile.
        closing = (
            shard._ws.send_close(code=_KEEPS_SESSION, message=b"reconnecting") for shard in self._shards if shard._ws
        )
        await asyncio.gather(*closing)

    # What hikari's patched methods ask -------------------------------------------------------------------------------

    def gateway_info(self) -> hikari.GatewayBotInfo | None:
        """Return what `GET /gateway/bot` would say, if a session is resumed: nothing in it matters then."""
        if self._left is None:
            return None
        limit = hikari.SessionStartLimit(total=1, remaining=1, reset_after=timedelta(), max_concurrency=1)
        self._gateway_url = self._left[0].gateway_url
        return hikari.GatewayBotInfo(url=self._gateway_url, shard_count=1, session_start_limit=limit)

    def learned(self, info: hikari.GatewayBotInfo) -> None:
        """Note what Discord said of its gateway."""
        self._gateway_url = info.url

    def restore(self, shard: Any) -> None:  # noqa: ANN401 - hikari's shard with its private names
        """Give a new shard the session to resume, once, if the shard is the bot's only one."""
        self._shards.append(shard)
        if self._left is None or shard.shard_count != 1:
            return
        (session, seq), self._left = self._left, None
        self._session = session
        shard._session_id, shard._resume_gateway_url = session.session_id, session.resume_url
        shard._seq, shard._user_id = seq, hikari.Snowflake(session.user_id)

    def connects(self, shard: Any) -> None:  # noqa: ANN401 - hikari's, as above
        """Drop the shard's session, if that was asked for, right before a connection is made to go on with it.

        Not earlier: events that are still in the old connection's queue would bring its sequence number back.
        """
        if shard.id in self._to_drop:
            self._to_drop.discard(shard.id)
            shard._session_id = shard._resume_gateway_url = shard._seq = None
        if shard._seq is None and shard.shard_count == 1:
            self._session = None
            self._file.clear()  # it was dropped or refused: no successor shall try it either

    def consume(
        self,
        name: str,
        shard: Any,  # noqa: ANN401 - hikari's, as above
        payload: Any,  # noqa: ANN401
        forward: Callable[[], None],
    ) -> None:
        """Hand an event on with `forward` and note it, or drop it once sealed."""
        if self._sealed:
            return
        forward()
        self.events += 1
        self.last_event_at = time.monotonic()
        if shard.shard_count != 1:
            return
        now = time.time()
        if name == "READY":
            me = dict(payload["user"])
            url = payload["resume_gateway_url"]
            self._session = Session(payload["session_id"], url, self._gateway_url, int(me["id"]), me, self._code)
            self._file.keep(self._session, shard._seq, now)
        elif name == "RESUMED" and self._session is not None:
            self._file.keep(self._session, shard._seq, now)
        elif self._session is not None:
            self._file.mark(shard._seq, now)

    @property
    def me(self) -> dict[str, Any] | None:
        """The bot's own user, when it was resumed: there is no READY then to tell it."""
        return None if self._session is None else self._session.me


def remember_me(app: hikari.GatewayBot, me: dict[str, Any] | None) -> None:
    """Put the bot's own user, if it is known, into the cache, where READY would have put it."""
    if me is None:
        return
    app._cache.set_me(app.entity_factory.deserialize_my_user(me))


def under_way(app: hikari.GatewayBot, client: lightbulb.Client) -> set[asyncio.Task[Any]]:
    """Return the tasks that handle events right now."""
    return {task for task in (*app._event_manager._dispatched_tasks, *client._asyncio_tasks) if not task.done()}


_current: list[Continuity] = []


def install(continuity: Continuity | None) -> None:
    """Let hikari's next bot of this process go on and keep its session; None: as hikari does by itself."""
    _current[:] = [] if continuity is None else [continuity]


def _patch() -> None:  # noqa: C901 - four small functions
    fetch, consume = RESTClientImpl.fetch_gateway_bot_info, EventManagerBase.consume_raw_event
    make_shard, connect = GatewayShardImpl.__init__, GatewayShardImpl._connect

    async def fetch_gateway_bot_info(rest: RESTClientImpl) -> hikari.GatewayBotInfo:
        if not _current:
            return await fetch(rest)
        info = _current[0].gateway_info()
        if info is None:
            info = await fetch(rest)
            _current[0].learned(info)
        return info

    def consume_raw_event(manager: EventManagerBase, name: str, shard: Any, payload: Any) -> None:  # noqa: ANN401
        if not _current:
            consume(manager, name, shard, payload)
        else:
            _current[0].consume(name, shard, payload, lambda: consume(manager, name, shard, payload))

    def init(shard: GatewayShardImpl, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - hikari's own
        make_shard(shard, *arguments, **named)
        if _current:
            _current[0].restore(shard)

    async def _connect(shard: GatewayShardImpl) -> tuple[asyncio.Task[None], ...]:
        if _current:
            _current[0].connects(shard)
        return await connect(shard)

    RESTClientImpl.fetch_gateway_bot_info = fetch_gateway_bot_info  # type: ignore[assignment, method-assign]
    EventManagerBase.consume_raw_event = consume_raw_event  # type: ignore[assignment, method-assign]
    GatewayShardImpl.__init__ = init  # type: ignore[method-assign, assignment]
    GatewayShardImpl._connect = _connect  # type: ignore[method-assign, assignment]


_patch()
