"""The delivery probe: asks Discord for an event when none comes, and renews a session that has gone deaf.

What is asked is gateway op 8 (Request Guild Members) for the members of one guild whose name begins with the bot's own:
at most one row, no privileged intent, and not under the limit of 30 s, which is for requests of all members. Discord
answers with GUILD_MEMBERS_CHUNK; but any event is proof enough.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import hikari

from flotilla.protocol import WorkerLimits
from flotilla.tasks import spawn
from worker_bot.hearing import Act, Hearing
from worker_bot.seam import acknowledged

MAX_GUILDS = 64
"""Guilds remembered per shard to ask; each time another."""

NONCE = "flotilla.delivery"
"""In the chunk that answers, for bots whose code looks at such events."""

_SEVERITY = ("ok", "quiet", "unprobed", "probing", "deaf")
log = logging.getLogger("flotilla.delivery")


class Renewable(Protocol):
    """The bot as this probe needs it."""

    def username(self) -> str:
        """Return the bot's own name, at least one character."""

    def known_guilds(self) -> Iterable[int]:
        """Yield guilds that are there, as far as this process knows."""

    def reconnect(self, *, fresh: bool, shard_id: int) -> Awaitable[None]:
        """Renew the gateway connection of a shard: resume, or begin a new session if `fresh`."""


@dataclass(slots=True)
class _Watch:
    """One shard, with the guilds that were there when last heard of, the one to be asked next first.

    inherited: its session was begun by another process, which alone was told of the guilds.
    """

    shard: hikari.api.GatewayShard
    hearing: Hearing
    guilds: dict[int, None] = field(default_factory=dict)
    inherited: bool = True


class DeliveryProbe:
    """Of one bot. Made inside a running event loop; `see` is told of every event before the bot's code is."""

    def __init__(self, bot: Renewable, jitter: float | None = None) -> None:
        self._bot = bot
        self._jitter = random.random() if jitter is None else jitter  # noqa: S311 - jitter, not a secret
        self._watches: dict[int, _Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def see(self, name: str, shard: hikari.api.GatewayShard, payload: Any) -> None:  # noqa: ANN401 - as Discord sent it
        """Take note of an event. Never raises, whatever the payload is."""
        watch = self._watches.get(shard.id)
        if watch is None:
            watch = self._watches[shard.id] = _Watch(shard, Hearing(self._jitter))
        watch.hearing.heard = True
        notice = _NOTICES.get(name)
        if notice is not None:
            watch.shard = shard
            notice(watch, payload)

    def tick(self, now: float, limits: WorkerLimits) -> None:
        """Do what is due. Call it with each heartbeat. now: a monotonic second."""
        for watch in self._watches.values():
            if watch.inherited and not watch.guilds:
                watch.guilds.update(dict.fromkeys(islice(self._guilds_of(watch.shard), MAX_GUILDS)))
            act = watch.hearing.tick(
                now,
                limits,
                up=watch.shard.is_connected,
                askable=bool(watch.guilds),
                acknowledged=acknowledged(watch.shard),
            )
            if act is Act.ASK:
                self._begin(self._ask(watch, limits))
            elif act is not None:
                log.warning(
                    "no event for %.0f s and no answer, though heartbeats are acknowledged: %s",
                    watch.hearing.quiet_s,
                    "a new session" if act is Act.IDENTIFY else "resuming the session",
                )
                self._begin(self._renew(watch.shard.id, fresh=act is Act.IDENTIFY))

    def worst(self) -> Hearing | None:
        """Return the state of the shard that is worst off; None before the first event."""
        found = [watch.hearing for watch in self._watches.values()]
        return max(found, key=lambda hearing: (_SEVERITY.index(hearing.state), hearing.quiet_s), default=None)

    def _guilds_of(self, shard: hikari.api.GatewayShard) -> Iterable[int]:
        known = self._bot.known_guilds()
        return (guild for guild in known if (int(guild) >> 22) % shard.shard_count == shard.id)

    async def _ask(self, watch: _Watch, limits: WorkerLimits) -> None:
        guild = next(iter(watch.guilds))
        watch.guilds[guild] = watch.guilds.pop(guild)  # another one next time
        try:
            # Not cancelled by a timeout: it waits for hikari's own limit of sends, whose queue a cancellation breaks.
            await watch.shard.request_guild_members(guild, query=self._bot.username(), limit=1, nonce=NONCE)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it says nothing about delivery
            log.debug("could not ask for an event: %r", fault)
            watch.hearing.unsent(limits)
        else:
            watch.hearing.sent(limits)

    async def _renew(self, shard_id: int, *, fresh: bool) -> None:
        await self._bot.reconnect(fresh=fresh, shard_id=shard_id)

    def _begin(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = spawn("the delivery probe", work, _failed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _failed(fault: BaseException) -> None:
    log.error("the delivery probe failed", exc_info=fault)


def _ready(watch: _Watch, payload: Any) -> None:  # noqa: ANN401
    """Guilds come with GUILD_CREATE. A session begun because of deafness is asked about those that READY names."""
    listed = payload.get("guilds") if isinstance(payload, dict) and watch.hearing.rung else None
    watch.guilds = dict.fromkeys(_ids(listed[:MAX_GUILDS] if isinstance(listed, list) else ()))
    watch.inherited = False
    watch.hearing.connected()


def _resumed(watch: _Watch, _payload: Any) -> None:  # noqa: ANN401
    watch.hearing.connected()


def _guild_there(watch: _Watch, payload: Any) -> None:  # noqa: ANN401
    if len(watch.guilds) < MAX_GUILDS:
        watch.guilds.update(dict.fromkeys(_ids([payload])))


def _guild_gone(watch: _Watch, payload: Any) -> None:  # noqa: ANN401
    """The bot has left it, or it is having an outage."""
    for guild in _ids([payload]):
        watch.guilds.pop(guild, None)


def _ids(payloads: Iterable[Any]) -> Iterable[int]:
    return (int(row["id"]) for row in payloads if isinstance(row, dict) and str(row.get("id", "")).isdecimal())


_NOTICES = {"READY": _ready, "RESUMED": _resumed, "GUILD_CREATE": _guild_there, "GUILD_DELETE": _guild_gone}
