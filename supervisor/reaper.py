"""A worker has ended: what became of it, an end to what it has left, and only then its lifecycle goes on."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import structlog

from flotilla.domain.bots import BotStatus
from flotilla.domain.worker import Failed, MemoryExceeded
from flotilla.protocol import EXIT_HOST_FAULT
from supervisor.configs import Configs
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.forkservers import ForkServers
from supervisor.host_faults import HostFaults
from supervisor.isolation import Isolation
from supervisor.member import Member
from supervisor.processes import WorkerProcess
from supervisor.remains import TICKS_PER_S, Ended, Remains, ticks_at, ticks_now

SEEN_WITHIN_S = 1.0
"""An exit is seen within milliseconds; if the supervisor was stopped meanwhile, it may have been long ago."""

SWEEP_TIMEOUT_S = 2.0
log = structlog.get_logger()


class Reaper:
    """Of all workers of this supervisor, whoever forked them.

    heard_out: waits until a worker's last words (bot id, generation) were taken.
    """

    def __init__(
        self,
        fleet: Fleet,
        forks: ForkServers,
        isolation: Isolation,
        configs: Configs,
        host_faults: HostFaults,
        containment: Containment,
        heard_out: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self._fleet, self._forks, self._isolation = fleet, forks, isolation
        self._configs, self._host_faults, self._containment = configs, host_faults, containment
        self._heard_out = heard_out
        self._remains = Remains()
        self._exits: set[asyncio.Task[None]] = set()
        self._looked_at = ticks_now()

    def look(self) -> None:
        """Note that all processes whose end was not told yet lived a moment ago. Called with every tick."""
        self._looked_at = ticks_now()

    def ended(self, member: Member, generation: int, process: WorkerProcess) -> None:
        """Take the end of a process that was watched."""
        now = ticks_now()
        at_once = now - self._looked_at < SEEN_WITHIN_S * TICKS_PER_S
        worker = None  # of a process whose start time is not known nothing can be proven to be left
        if process.started_at is not None:
            worker = self._worker(member, process.pid, process.started_at, now if at_once else self._looked_at)
        task = asyncio.create_task(self._reap(member, generation, process.pid, worker))
        self._exits.add(task)
        task.add_done_callback(self._exits.discard)

    def lost(self, member: Member, status: BotStatus) -> None:
        """End what is left of a worker that ended while no supervisor saw it."""
        if status.pid is not None and status.process_started_at is not None:
            # The supervisor before would have noted its end, had it been there to see it.
            alive_at = max(ticks_at(status.heartbeat_at), ticks_at(member.unheard_since))
            worker = self._worker(member, status.pid, status.process_started_at, alive_at)
            self._remains.end(worker, at_once=True)

    async def drain(self) -> None:
        """Return when nothing of those that have ended is left."""
        await self._remains.drain()

    def _worker(self, member: Member, pid: int, started_at: int, alive_at: int) -> Ended:
        users = self._isolation.users
        own = None if users is None else users.known(member.bot.id)
        uids = {os.getuid()} if own is None else {os.getuid(), own}
        return Ended(member.bot.name, pid, started_at, alive_at, frozenset(uids))

    async def _reap(self, member: Member, generation: int, pid: int, worker: Ended | None) -> None:
        """Its own fork server has killed its group before it told the exit; of others' nobody has."""
        is_ours = self._forks.is_parent_of(pid)
        swept = None if worker is None else self._remains.end(worker, at_once=not is_ours)
        exit_code = await self._forks.exit_code(pid)
        if exit_code is None:  # then its own last word is all there is
            await self._heard_out(member.bot.id, generation)
        if swept is not None and not is_ours:
            await asyncio.wait({swept}, timeout=SWEEP_TIMEOUT_S)
        log.info("worker.exited", bot=member.bot.name, generation=generation, pid=pid, exit_code=exit_code)
        self._containment.attempt(member.bot, "cause of its exit", self._understand, member, generation, exit_code)
        self._containment.attempt(member.bot, "exit", self._fleet.exited, member.bot.id, generation, exit_code)

    def _understand(self, member: Member, generation: int, exit_code: int | None) -> None:
        if exit_code == EXIT_HOST_FAULT and member.met_generation != generation:
            self._host_faults.note("a new process could not become a worker; see the bot's log")
            self._fleet.apply(member, Failed(generation, "spawn_failed"))
        if self._isolation.ended_by_memory(member, generation, exit_code):
            limit_bytes = member.policy.memory_limit_bytes
            log.warning("worker.memory_exceeded", bot=member.bot.name, limit_bytes=limit_bytes, by="kernel")
            self._fleet.apply(member, MemoryExceeded(generation))
        self._configs.ended(member, generation, exit_code)
