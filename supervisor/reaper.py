"""A worker has ended: what became of it, an end to what it has left, and only then its lifecycle goes on."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import structlog

from flotilla.domain.bots import BotStatus
from flotilla.domain.worker import Failed, LostReady, MemoryExceeded
from flotilla.mark import worker_number
from flotilla.processes import TICKS_PER_S, ticks_now
from flotilla.protocol import EXIT_HOST_FAULT
from flotilla.tasks import awaited
from supervisor.chronicle import Chronicle
from supervisor.configs import Configs
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.forkservers import ForkServers
from supervisor.host_faults import HostFaults
from supervisor.isolation import Isolation
from supervisor.killing import GONE_WITHIN_S, Killing, shown
from supervisor.member import Member
from supervisor.processes import WorkerProcess
from supervisor.remains import Ended, Left, Living, ticks_at

SEEN_WITHIN_S = 1.0
"""An exit is seen within milliseconds; if the supervisor was stopped meanwhile, it may have been long ago."""

NO_PID = -1
UNNOTICED_S = 0.05
"""If it takes longer until nothing of a bot lives, it is told meanwhile that it serves nobody."""

log = structlog.get_logger()


class Reaper:
    """Of all workers of this supervisor, whoever forked them.

    home: its mark. heard_out: waits until a worker's last words (bot id, generation) were taken.
    """

    def __init__(
        self,
        fleet: Fleet,
        forks: ForkServers,
        isolation: Isolation,
        configs: Configs,
        host_faults: HostFaults,
        containment: Containment,
        chronicle: Chronicle,
        home: int,
        heard_out: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self._fleet, self._forks, self._isolation = fleet, forks, isolation
        self._configs, self._host_faults, self._containment = configs, host_faults, containment
        self._chronicle, self._home = chronicle, home
        self._heard_out = heard_out
        self._killing = Killing(self._living, self._tell_stubborn)
        # What is started by supervisord is a subreaper's child; without it orphans of a dead fork server go elsewhere.
        self._supervisord = frozenset({os.getppid()} if "SUPERVISOR_ENABLED" in os.environ else ())
        self._looked_at = ticks_now()

    def look(self) -> None:
        """Note that all processes whose end was not told yet lived a moment ago. Called with every tick."""
        self._looked_at = ticks_now()

    def ended(self, member: Member, generation: int, process: WorkerProcess) -> None:
        """Take the end of a process that was watched."""
        now = ticks_now()
        at_once = now - self._looked_at < SEEN_WITHIN_S * TICKS_PER_S
        alive_at = now if at_once else self._looked_at
        worker = self._worker(member, generation, process.pid, process.started_at, alive_at)
        self._containment.spawn(member.bot, "end of its process", self._reap(member, generation, process.pid, worker))

    def lost(self, member: Member, status: BotStatus) -> None:
        """Take the end of a worker that ended while no supervisor saw it."""
        # The supervisor before would have noted its end, had it been there to see it.
        alive_at = max(ticks_at(status.heartbeat_at), ticks_at(member.unheard_since))
        pid = NO_PID if status.pid is None else status.pid
        worker = self._worker(member, status.generation, pid, status.process_started_at, alive_at)
        self._containment.spawn(member.bot, "end of its process", self._bury(member, status.generation, worker))

    def all_adopted(self) -> None:
        """End what is left of workers that not even the supervisor before remembered."""
        self._killing.end_of_nobody()

    def may_live(self, uid: int) -> bool:
        """Return whether something that was to be ended of a bot's own user may live."""
        return self._killing.lives(uid)

    async def drain(self) -> None:
        """Return when nothing of those that have ended is left."""
        await self._killing.drain()

    def _worker(self, member: Member, generation: int, pid: int, started_at: int | None, alive_at: int) -> Ended:
        """Without the time of its start, who is in its session proves nothing."""
        users, bot_id = self._isolation.users, member.bot.id
        own = None if users is None else users.known(bot_id)
        return Ended(
            member.bot.name,
            pid,
            0 if started_at is None else started_at,
            -1 if started_at is None else alive_at,
            frozenset({os.getuid()} if own is None else {os.getuid(), own}),
            worker_number(bot_id, generation),
            # While another incarnation lives, the user is that one's, too.
            own if member.worker.generation == generation else None,
            self._isolation.end(bot_id, generation),
            bot_id,
        )

    def _living(self) -> Living:
        """Return what lives now. Called in other threads: each line takes a copy of what may change."""
        at = ticks_now()
        roots = self._supervisord | self._forks.pids()
        return Living(self._home, self._fleet.pids(), self._numbers, roots, at)

    def _numbers(self) -> set[int]:
        """An incarnation that hands over lives beside the next one, perhaps unknown to this supervisor."""
        return {
            worker_number(bot_id, generation - before)
            for bot_id, generation in self._fleet.incarnations()
            for before in (0, 1)
        }

    async def _end(self, worker: Ended) -> None:
        """Return when nothing of a worker is left, or it took too long."""
        done = self._killing.end(worker)
        await asyncio.wait({done}, timeout=2 * GONE_WITHIN_S)  # it sees to that by itself, unless it fails

    def _tell_stubborn(self, worker: Ended, left: list[Left]) -> None:
        self._chronicle.note("remains_stay", worker.bot_id, worker.bot, processes=shown(left))

    async def _reap(self, member: Member, generation: int, pid: int, worker: Ended) -> None:
        """Its lifecycle goes on when nothing of it lives: no next one beside it, and STOPPED means gone."""
        exit_code = None
        try:
            ending = awaited(self._end(worker))
            exit_code = await self._forks.exit_code((member.bot.id, generation))
            if exit_code is None:  # then its own last word is all there is
                await self._heard_out(member.bot.id, generation)
            if not (await asyncio.wait({ending}, timeout=UNNOTICED_S))[0]:
                self._containment.attempt(member.bot, "exit", self._fleet.apply, member, LostReady(generation))
            await ending
        except Exception as error:  # noqa: BLE001 - whatever it is, the process is gone
            self._containment.set_aside(member.bot, "end of its process", error)
        log.info("worker.exited", bot=member.bot.name, generation=generation, pid=pid, exit_code=exit_code)
        self._containment.attempt(member.bot, "cause of its exit", self._understand, member, generation, exit_code)
        self._containment.attempt(member.bot, "exit", self._fleet.exited, member.bot.id, generation, exit_code)

    async def _bury(self, member: Member, generation: int, worker: Ended) -> None:
        await self._end(worker)
        self._containment.attempt(member.bot, "exit", self._fleet.exited, member.bot.id, generation, None)

    def _understand(self, member: Member, generation: int, exit_code: int | None) -> None:
        if exit_code == EXIT_HOST_FAULT and member.met_generation != generation:
            self._host_faults.note("a new process could not become a worker; see the bot's log")
            self._fleet.apply(member, Failed(generation, "spawn_failed"))
        if self._isolation.ended_by_memory(member, generation, exit_code):
            limit_bytes = member.policy.memory_limit_bytes
            log.warning("worker.memory_exceeded", bot=member.bot.name, limit_bytes=limit_bytes, by="kernel")
            self._fleet.apply(member, MemoryExceeded(generation))
        self._configs.ended(member, generation, exit_code)
