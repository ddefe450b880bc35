"""Goes on where the worker before left off, and leaves the same to the worker after.

So a restart loses no event, spends no IDENTIFY and knows the guilds, whether it was planned or a SIGKILL.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import hikari
from msgspec import structs

from worker_bot import seam
from worker_bot.cache_keeper import CacheKeeper
from worker_bot.confinement import make_folder
from worker_bot.fetching import Failed, Given
from worker_bot.handover import Handover, Outbox
from worker_bot.inheritance import Arrived, Inheritance
from worker_bot.keepsake import keeps_all
from worker_bot.pace import IdentifyPace
from worker_bot.session_file import Session, SessionFile, left_behind, now_s, path_of

TEND_S = 2.0
"""How often it is noted that sessions are up, and looked whether the cache wants a snapshot."""

SESSION_TIMED_OUT = 4009
"""Discord: reconnect and start a new one. hikari tries to resume it, for ever if Discord answers the same."""

INVALID_SEQ = 4007
MAX_INVALID_SEQ = 2
"""hikari answers 4007 with the same resume for ever; after so many in a row the session is dropped."""

SHARDING_CODES = frozenset({4010, 4011})
"""Close codes that say that the number of shards is wrong (Discord, Opcodes and Status Codes)."""

_OF_CONNECTIONS = frozenset({"READY", "RESUMED"})
log = logging.getLogger("flotilla.session")


class Continuity:
    """The sessions of a bot's shards, and its cache.

    base: where they are kept; None: nothing is left behind or found. Raises OSError if they cannot be kept there.
    Each shard with a session left behind resumes; the others identify, with as many shards as there were.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = base
        self._left = {} if base is None else left_behind(base, now_s())
        self._left_count = next((count for _, count in self._left), 0)
        self._cache = None if base is None else CacheKeeper(base)
        self._files: dict[int, SessionFile] = {}
        self._sessions: dict[int, Session] = {}
        self._shards: dict[int, Any] = {}
        self._up: set[int] = set()
        self._to_drop: set[int] = set()
        self._unkept: set[int] = set()
        self._invalid_seqs: Counter[int] = Counter()
        self._pace = IdentifyPace()
        self._gateway_url = ""
        self._asked = self._sealed = False
        self._kind: tuple[int | None, str, str] = (None, "", "")
        self._suits = True
        self._inheritance: Inheritance | None = None
        self._outbox: Outbox | None = None
        self._sealed_at: dict[int, int | None] = {}
        self.before_identify: Callable[[], Awaitable[None]] | None = None
        """Awaited before each IDENTIFY, while no connection is open for it."""
        self.cannot_keep: Callable[[OSError], None] = lambda _: None
        """Told of a session that cannot be kept; it is tried again and again."""
        self.fetch: Callable[[int, int, Given, Failed], None] | None = None
        """Has the file of a shard's session opened where this worker may not: `fetching.Fetcher.session`."""
        self.events = 0
        """How many events were handed to the bot's code."""
        self.last_event_at = float("-inf")
        """When the last of them was, on the monotonic clock; minus infinity before the first."""
        self.see: Callable[[str, Any, Any], bool | None] | None = None
        """Shown every event (name, shard, payload) before the bot's code gets it; it does not if False is returned."""

    @property
    def resumes(self) -> bool:
        """Whether there are sessions to go on with."""
        return bool(self._left) and self._suits

    def suit(self, intents: int, cached: str, token_mark: str) -> None:
        """Take note of what the bot is made for, before it starts. cached: as `keepsake.kept` has it.

        What was left behind is not resumed if it has another token or other intents, or lacks some of the cache: only
        a new session brings that. It stays on disk until that one is up, for a bot that goes back to the config before.
        """
        self._kind = (intents, cached, token_mark)
        sessions = [session for session, _ in self._left.values()]
        if any(session.token_mark not in {"", token_mark} for session in sessions):
            self._suits = False
            log.info("the bot has another token than before: a new session begins")
            return
        sessions = [session for session in sessions if session.intents is not None]
        self._suits = all(each.intents == intents and keeps_all(each.cached, cached) for each in sessions)
        if not self._suits:
            log.info("the bot has other intents than before, or caches more: a new session begins")

    async def settled(self) -> None:
        """Return when no event is held back because of the worker before, after about 2 s at the latest."""
        if self._inheritance is not None:
            await self._inheritance.settled()

    def seal(self) -> None:
        """Hand no further event to the bot: it is kept for the successor, to which Discord may replay it as well."""
        self._touch()
        self._sealed = True
        self._sealed_at = {shard_id: seam.seq_of(shard) for shard_id, shard in self._shards.items()}
        self._outbox = Outbox()

    def hand_over(self) -> Handover | None:
        """Return what serves a successor; None if it finds all it needs on disk, or the sessions are not all up.

        Call it once sealed.
        """
        shards = list(self._shards.values())
        up = bool(shards) and all(shard.id in self._up and shard.is_connected for shard in shards)
        if self._base is None or self._outbox is None or not up or self._sessions.keys() != self._shards.keys():
            return None
        user_id = next(session.user_id for session in self._sessions.values())
        return Handover(
            self._base.parent,
            self._outbox,
            self._shards.keys(),
            shards[0].shard_count,
            user_id,
            lambda shard_id: seam.has_connection(self._shards[shard_id]),
        )

    @property
    def is_handed_over(self) -> bool:
        """Whether the sessions are the next worker's."""
        return self._outbox is not None

    def silence(self, keep: Iterable[asyncio.Task[Any]]) -> None:
        """Let nothing of the bot's code run any more; the connections stay, and the tasks in `keep`."""
        seam.silence(self._shards.values(), keep)

    async def close(self) -> None:
        """End the sessions that are still this worker's, after it has been sealed."""
        self.end()
        await seam.end_sessions(self._shards.values())

    def end(self, *, closed: bool = False) -> None:
        """Forget the sessions that are up: the bot closes them for good, or has closed them by itself (`closed`).

        Those that it never came to resume, and those that Discord cut, are left to the next worker.
        """
        self._sealed = True
        there = self._up & self._files.keys()
        ended = {shard_id for shard_id in there if closed or self._shards[shard_id].is_connected}
        for shard_id in ended:
            self._files[shard_id].clear()
        if self._cache is not None and ended and ended == self._files.keys():
            self._cache.drop()

    async def reconnect(self, *, fresh: bool, shard_id: int | None = None) -> None:
        """Close gateway connections in a way that keeps their sessions, and let hikari connect anew.

        fresh: give the sessions up, so that hikari identifies; what Discord would have replayed is lost. Otherwise it
        resumes. shard_id: of this shard alone; None: of all. Returns when the connections are closed, after about 5 s
        at the latest. A connection that is just being made is left alone.
        """
        chosen = [shard for shard in self._shards.values() if shard_id in {None, shard.id}]
        if fresh:
            self._to_drop |= {shard.id for shard in chosen}
        await seam.close_resumably(chosen)

    async def tend(self) -> None:
        """Note for ever that sessions are up, see that they are kept, and keep the cache's log short."""
        while True:
            await asyncio.sleep(TEND_S)
            self._touch()
            self._keep_again()
            if self._cache is not None:
                await self._cache.tend(self._shards, self._sessions)

    # What hikari asks (see `seam.Keeper`) ----------------------------------------------------------------------------

    def gateway_info(self) -> hikari.GatewayBotInfo | None:
        """Return what `GET /gateway/bot` would say, if all shards resume: nothing in it matters then."""
        asked, self._asked = self._asked, True
        if asked or not self.resumes or len(self._left) < self._left_count:
            return None
        session, _ = next(iter(self._left.values()))
        self._gateway_url = session.gateway_url
        limit = hikari.SessionStartLimit(
            total=self._left_count,
            remaining=self._left_count,
            reset_after=timedelta(),
            max_concurrency=self._left_count,
        )
        return hikari.GatewayBotInfo(url=session.gateway_url, shard_count=self._left_count, session_start_limit=limit)

    def learned(self, info: hikari.GatewayBotInfo) -> hikari.GatewayBotInfo:
        """Take note of what Discord said, and let all shards start at once: `connects` has the pace."""
        if self._shards:
            return info  # the bot's own code asked
        self._gateway_url = info.url
        limit, shard_count = info.session_start_limit, self._left_count or info.shard_count
        self._pace = IdentifyPace(limit.max_concurrency)
        started = hikari.SessionStartLimit(
            total=limit.total,
            remaining=limit.remaining + (len(self._left) if self._suits else 0),
            reset_after=limit.reset_after,
            max_concurrency=shard_count,
        )
        return hikari.GatewayBotInfo(url=info.url, shard_count=shard_count, session_start_limit=started)

    def restore(self, shard: Any) -> None:  # noqa: ANN401 - hikari's shard
        """Give a new shard the session to resume, once, and with the first one the bot's cache."""
        self._shards[shard.id] = shard
        if self._base is not None and self._inheritance is None:
            self._inheritance = Inheritance(self._base.parent, self._arrived, self._passed_on)
        if self._cache is not None:
            self._cache.restore(shard, self._left)
        left = self._left.pop((shard.id, shard.shard_count), None)
        if left is None or not self._suits:
            return
        session, seq = left
        # What it is kept for is what this worker has from now on, which may be less than it began with.
        self._sessions[shard.id] = structs.replace(session, cached=self._kind[1]) if self._kind[1] else session
        self._open(shard)
        seam.give_session(shard, session.session_id, session.resume_url, session.user_id, seq)

    async def connects(self, shard: Any) -> None:  # noqa: ANN401
        """Return when the shard may connect; its session is dropped before, if that was asked for.

        Not earlier: events that are still in the old connection's queue would bring its sequence number back.
        A worker that is sealed never connects again: that would take the session from its successor.
        """
        if self._sealed:
            await asyncio.get_running_loop().create_future()
        if self._inheritance is not None:
            await self._inheritance.met()
        if shard.id in self._to_drop:
            self._to_drop.discard(shard.id)
            seam.drop_session(shard)
        if seam.seq_of(shard) is not None:
            return
        self._sessions.pop(shard.id, None)
        if shard.id in self._files:
            self._files[shard.id].clear()  # dropped or refused: no successor shall try it either
        await self.refused(shard)
        if self.before_identify is not None:
            await self.before_identify()
        await self._pace.wait(shard.id)

    async def refused(self, shard: Any) -> None:  # noqa: ANN401
        """Let a shard without a session live on what the worker before receives, if that is still there."""
        if self._inheritance is not None and self._inheritance.is_there:
            await self._restored()
            self._inheritance.refused(shard)

    async def greets(self) -> None:
        """Return when the bot's cache is as the worker before left it: events may come from now on."""
        await self._restored()

    async def _restored(self) -> None:
        if self._cache is not None:
            await self._cache.restored()

    def identifies(self, shard: Any) -> None:  # noqa: ANN401
        """Take note that a shard begins a session."""
        if self._inheritance is not None:
            self._inheritance.identifies(shard)

    def acknowledges(self, shard: Any) -> int | None:  # noqa: ANN401
        """Return the last event handed on: what comes after the seal must stay replayable."""
        return self._sealed_at.get(shard.id) if self._sealed_at else seam.seq_of(shard)

    def closed(self, shard: Any, code: int) -> None:  # noqa: ANN401
        """Take note of a close code: some sessions must not be tried for ever."""
        if code == SESSION_TIMED_OUT:
            log.warning("the session of shard %s has timed out: a new one begins", shard.id)
            self._to_drop.add(shard.id)
        self._invalid_seqs[shard.id] = self._invalid_seqs[shard.id] + 1 if code == INVALID_SEQ else 0
        if self._invalid_seqs[shard.id] >= MAX_INVALID_SEQ:
            log.warning("Discord does not know where the session of shard %s is: a new one begins", shard.id)
            self._to_drop.add(shard.id)
        if code in SHARDING_CODES:
            for file in self._files.values():
                file.clear()

    def consume(self, name: str, shard: Any, payload: Any, forward: Callable[[], None]) -> None:  # noqa: ANN401
        """Hand an event on with `forward` and note it, or keep it for the successor once sealed."""
        event = Arrived(name, shard, payload, seam.seq_of(shard) or 0, forward)
        if self._sealed:
            self._keep_back(shard, name, payload)
        elif self._inheritance is None:
            self._arrived(event, known=False)
        else:
            self._inheritance.own(event)

    # -----------------------------------------------------------------------------------------------------------------

    def _keep_back(self, shard: Any, name: str, payload: Any) -> None:  # noqa: ANN401
        if self._outbox is not None and name not in _OF_CONNECTIONS:
            self._outbox.keep(shard.id, name, payload)

    def _passed_on(self, shard: Any, name: str, payload: Any) -> None:  # noqa: ANN401
        """Hand an event on that the worker before received. There is no session in which it could be noted."""
        if self._sealed:
            self._keep_back(shard, name, payload)
            return
        self._hand_on(name, shard, payload, lambda: seam.hand_on(shard, name, payload))

    def _hand_on(self, name: str, shard: Any, payload: Any, hand_on: Callable[[], None]) -> None:  # noqa: ANN401
        if self.see is None or self.see(name, shard, payload) is not False:
            hand_on()
        self.events += 1
        self.last_event_at = time.monotonic()

    def _arrived(self, event: Arrived, known: bool) -> None:  # noqa: FBT001 - as `inheritance.Take` has it
        """Hand an event of a shard's own session on, unless the bot knows it, and note it."""
        name, shard, payload, seq = event.name, event.shard, event.payload, event.seq
        if self._sealed:
            return
        if known:
            seam.change_cache(shard, name, payload)
        else:
            self._hand_on(name, shard, payload, event.forward)
        if name == "READY":
            self._begin(shard, payload)
        if self._base is None:
            return
        session = self._sessions.get(shard.id)
        if session is None or shard.id not in self._files:
            return
        # First the cache, then the session: an entry too many is passed over, one too few would be missing.
        if self._cache is not None:
            self._cache.note(shard, session.session_id, seq, name, payload)
        if name in {"READY", "RESUMED"}:
            self._up.add(shard.id)
            self._invalid_seqs.pop(shard.id, None)
            self._files[shard.id].keep(session, seq, now_s())
        else:
            self._files[shard.id].mark(seq, now_s())

    def _begin(self, shard: Any, ready: Any) -> None:  # noqa: ANN401
        me = dict(ready["user"])
        places = (ready["session_id"], ready["resume_gateway_url"], self._gateway_url)
        self._sessions[shard.id] = Session(*places, int(me["id"]), me, *self._kind)
        if self._base is not None and shard.id not in self._files:
            self._open(shard)
        if self._cache is not None:
            self._cache.begin(shard, ready)

    def _open(self, shard: Any) -> None:  # noqa: ANN401
        if self._base is None:
            return
        try:
            self._files[shard.id] = SessionFile(path_of(self._base, shard.id, shard.shard_count))
        except OSError as fault:
            if self.fetch is None:
                self._not_kept(shard, fault)
            else:
                given, failed = partial(self._given, shard), partial(self._not_kept, shard)
                self.fetch(shard.id, shard.shard_count, given, failed)
        else:
            self._unkept.discard(shard.id)

    def _not_kept(self, shard: Any, fault: OSError) -> None:  # noqa: ANN401
        if shard.id not in self._unkept:
            log.warning(
                "the session of shard %s cannot be kept, so its next start will be a cold one: %s", shard.id, fault
            )
            self.cannot_keep(fault)
        self._unkept.add(shard.id)

    def _given(self, shard: Any, descriptor: int) -> None:  # noqa: ANN401
        """Go on in a file that this worker could not open itself."""
        if self._base is None or self._sealed or shard.id not in self._sessions:
            return
        self._files[shard.id] = SessionFile(path_of(self._base, shard.id, shard.shard_count), descriptor)
        self._unkept.discard(shard.id)
        self._write(shard.id)

    def _keep_again(self) -> None:
        """Keep sessions whose file could not be made, or is gone: a disk is freed, a folder comes back."""
        if self._base is None or self._sealed:
            return
        for shard_id in self._up & self._sessions.keys():
            file = self._files.get(shard_id)
            if file is not None and file.is_there():
                continue
            self._files.pop(shard_id, None)
            make_folder(self._base.parent)
            self._open(self._shards[shard_id])
            if shard_id in self._files:
                self._write(shard_id)

    def _write(self, shard_id: int) -> None:
        seq = seam.seq_of(self._shards[shard_id])
        self._files[shard_id].keep(self._sessions[shard_id], seq or 0, now_s())

    def _touch(self) -> None:
        if self._sealed:
            return
        for shard_id in self._up:
            if shard_id in self._files and self._shards[shard_id].is_connected:
                self._files[shard_id].touch(now_s())
