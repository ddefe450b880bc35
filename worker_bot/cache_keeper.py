"""Takes a bot's cache over from the worker before, and keeps it for the worker after."""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flotilla.tasks import spawn
from worker_bot import seam
from worker_bot.cache_log import CacheLog, Entry
from worker_bot.keepsake import Stamp
from worker_bot.session_file import Session

log = logging.getLogger("flotilla.session")


class CacheKeeper:
    """The cache of one bot, whose log lies at `base`. Shards are hikari's."""

    def __init__(self, base: Path) -> None:
        self._log = CacheLog(base)
        self._restoring: asyncio.Task[None] | None = None

    def restore(self, shard: Any, left: Mapping[tuple[int, int], tuple[Session, int]]) -> None:  # noqa: ANN401
        """Begin to fill the cache, once. left: the sessions that go on, each with the last event handled."""
        if self._restoring is None:
            self._restoring = spawn("the restoring of the cache", self._restore(shard, dict(left)))

    async def restored(self) -> None:
        """Return when the cache is as the worker before left it. Never raises: without it the cache is empty."""
        if self._restoring is not None:
            await asyncio.shield(self._restoring)

    def begin(self, shard: Any, ready: Any) -> None:  # noqa: ANN401
        """Take note of a shard's new session. Guilds that are no longer there are forgotten, and told."""
        cache = seam.cache_of(shard)
        if cache is None:
            return
        if seam.knows_guilds(cache):
            seam.leave_guilds(shard, but=_guilds_of(ready))
        elif not self._log.whole:
            self._log.begin()

    def note(self, shard: Any, session_id: str, seq: int, name: str, payload: Any) -> None:  # noqa: ANN401
        """Keep an event that was handled, if it is one that changes the cache."""
        if seam.changes_cache(shard, name):
            self._log.note(shard.id, session_id, seq, name, payload)

    async def tend(self, shards: Mapping[int, Any], sessions: Mapping[int, Session]) -> None:
        """Take a snapshot if one is due."""

        def stamp() -> Stamp:
            up = {shard_id: shard for shard_id, shard in shards.items() if shard_id in sessions}
            return Stamp({i: (sessions[i].session_id, seam.seq_of(shard) or 0) for i, shard in up.items()})

        cache = next((seam.cache_of(shard) for shard in shards.values()), None)
        if cache is not None and self._log.due(time.monotonic()):
            await self._log.compact(cache, stamp)

    def drop(self) -> None:
        """Leave nothing behind."""
        self._log.drop()

    async def _restore(self, shard: Any, left: dict[tuple[int, int], tuple[Session, int]]) -> None:  # noqa: ANN401
        cache = seam.cache_of(shard)
        if cache is None:
            return
        if not left:
            self._log.drop()
            return
        began = time.monotonic()
        resumed = {shard_id: (session.session_id, seq) for (shard_id, _), (session, seq) in left.items()}
        past = seam.Past(shard, next(session.user_id for session, _ in left.values()))

        def apply(entry: Entry, payload: Any) -> None:  # noqa: ANN401
            past.id = entry.shard_id
            seam.change_cache(past, entry.name, payload)
            if entry.name == "READY":
                seam.forget_guilds(past, but=_guilds_of(payload))

        try:
            if await self._log.load(cache, apply, resumed):
                log.info("the cache was taken over in %.0f ms", (time.monotonic() - began) * 1000)
        except Exception:  # whatever it is: a bot that starts with an empty cache is better than one that does not
            log.exception("the bot goes on with an empty cache")
            cache.clear()
            self._log.drop()
        for session, _ in left.values():
            seam.remember_me(shard, session.me)  # there is no READY to tell it


def _guilds_of(ready: Any) -> list[int]:  # noqa: ANN401
    return [int(guild["id"]) for guild in ready["guilds"]]
