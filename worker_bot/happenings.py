"""Tells what Discord does to the bot: sessions, lost connections, guilds that come and go, permissions that go."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import hikari
import msgspec

from flotilla.domain.happenings import Occurrence
from flotilla.domain.second_instance import Suspicion
from flotilla.ids import new_id
from flotilla.protocol import Happened
from flotilla.redaction import redact_text
from worker_bot.guilds import Guilds, Place
from worker_bot.permissions import Overwrite
from worker_bot.telling import Telling, read_left, write_private

LEFT: Final = "happenings"
GUILDS: Final = "guilds"
"""Files beside a worker's session: what may not be stored yet, and which guilds the bot was in."""

AT_ONCE: Final = 100
MAX_KEPT: Final = 1_000
"""Kept while the supervisor is away, some 0.5 MB; beyond it the oldest are lost, and that is told."""

_places = msgspec.msgpack.Decoder(dict[int, Place])
log = logging.getLogger("flotilla.happenings")


class Happenings:
    """Of one bot. send: tells the supervisor; False: it is away. folder: of its session; None: nothing is kept there.

    cache: hikari's.
    """

    def __init__(self, send: Callable[[Happened], bool], folder: Path | None, cache: hikari.api.Cache) -> None:
        self._cache = cache
        self._suspicion = Suspicion()
        self._file = None if folder is None else folder / GUILDS
        self._guilds = Guilds(read_left(self._file, _places), self._role_permissions, self._overwrites)
        self._telling = Telling(
            Occurrence,
            lambda number, rows, lost: send(Happened(number, rows, lost)),
            None if folder is None else folder / LEFT,
            at_once=AT_ONCE,
            most=MAX_KEPT,
        )

    def see(self, name: str, shard: hikari.api.GatewayShard, payload: Any) -> None:  # noqa: ANN401 - as Discord sent it
        """Take note of an event before the bot's cache changes by it. Never raises."""
        try:
            if not self._guilds.knows_me and name != "READY":
                self._guilds.is_me(int(shard.get_user_id()))
            for told in self._guilds.see(name, shard.id, shard.shard_count, payload, time.monotonic()):
                self._tell(*told)
        except (LookupError, TypeError, ValueError, AttributeError, hikari.HikariError) as fault:
            log.debug("%s is not understood: %r", name, fault)  # it is for hikari to say what that is
        if name == "READY":
            self._tell("session_began", {"shard": shard.id, "guilds": _count(payload)})
        elif name == "RESUMED":
            self._tell("session_resumed", {"shard": shard.id})

    def dropped(self, shard_id: int, code: int | None, why: str) -> None:
        """A gateway connection ended that was up. code: as Discord closed it."""
        self._tell("disconnected", {"shard": shard_id, "close_code": code, "why": why})

    def answered_elsewhere(self) -> None:
        """An interaction was answered, and not by this process."""
        count = self._suspicion.answered_elsewhere(time.monotonic())
        if count:
            log.warning("another process uses this bot's token: it answered %s interactions before this one", count)
            self._tell("second_instance", {"answers": count})

    def beat(self) -> None:
        """Tell what is due. Call it about once a second."""
        for told in self._guilds.settled(time.monotonic()):
            self._tell(*told)
        self._keep_guilds()
        self._telling.tell()

    def stored(self, number: int) -> None:
        """The supervisor says that a batch is safe."""
        self._telling.stored(number)

    def leave(self) -> None:
        """Tell what can be told, and leave the rest to the next worker."""
        for told in self._guilds.settled(float("inf")):
            self._tell(*told)
        self._keep_guilds()
        self._telling.leave()

    def _tell(self, code: str, detail: dict[str, Any]) -> None:
        shown = {key: redact_text(value) if isinstance(value, str) else value for key, value in detail.items()}
        self._telling.keep(Occurrence(new_id(), time.time(), code, shown))

    def _keep_guilds(self) -> None:
        if self._file is None or not self._guilds.changed:
            return
        self._guilds.changed = False
        try:
            write_private(self._file, msgspec.msgpack.encode(self._guilds.left()))
        except OSError as fault:
            log.warning("guilds that the bot joins or leaves while it is away may not be told: %s", fault)

    def _role_permissions(self, role_id: int) -> int | None:
        role = self._cache.get_role(role_id)
        return None if role is None else int(role.permissions)

    def _overwrites(self, channel_id: int) -> Mapping[int, Overwrite] | None:
        channel = self._cache.get_guild_channel(channel_id)
        if channel is None:
            return None
        rows = channel.permission_overwrites
        return {int(key): (int(row.deny), int(row.allow)) for key, row in rows.items()}


def _count(ready: Any) -> int | None:  # noqa: ANN401 - as Discord sent it
    guilds = ready.get("guilds") if isinstance(ready, dict) else None
    return len(guilds) if isinstance(guilds, list) else None
