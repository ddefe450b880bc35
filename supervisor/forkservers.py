"""Which fork servers there are: one that serves and is kept alive, in a roll-over a new one beside it."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine

import structlog
from msgspec import structs

from flotilla.domain.vitals import ForkServerState, HostVitals
from flotilla.protocol import Fork, Preload
from supervisor.forkserver import LOOK_S, ForkHandlers, ForkServer, Incarnation, NotUpError
from supervisor.zygote import ForkServerProcess

RESTART_CAP_S = 10.0
STABLE_AFTER_S = 30.0
DYING_AFTER = 3
"""Ends soon after the start, one after the other, that are told."""

RETIRE_TIMEOUT_S = 30.0
"""How long an old fork server may wait for its last children to be reaped; their exit codes are lost after that."""
log = structlog.get_logger()


class ForkServers:
    """Forks workers through the fork server that serves, or for the bots that were moved, through the new one.

    preload: what one that is started now imports. first: a process that was started already. preload_timeout_s: how
    long one may take to be up; one that hangs is killed.
    """

    def __init__(
        self,
        handlers: ForkHandlers,
        preload: Callable[[], Preload],
        preload_timeout_s: float,
        first: ForkServerProcess | None = None,
    ) -> None:
        self._handlers = handlers
        self._preload = preload
        self._preload_timeout_s = preload_timeout_s
        self._first = first
        self._last_number = 0
        self._serving: ForkServer | None = None
        self._new: ForkServer | None = None
        self._moved: set[str] = set()
        self._living: list[ForkServer] = []
        self._waiting: list[Fork] = []
        self._group: asyncio.TaskGroup | None = None
        self._needed = asyncio.Event()
        self._running = asyncio.Event()
        self._one_ended = asyncio.Event()
        self._failures, self._began = 0, 0.0

    # Workers ---------------------------------------------------------------------------------------------------------

    def fork(self, order: Fork) -> None:
        """Ask for a worker."""
        server = self._new if self._new is not None and order.bot_id in self._moved else self._serving
        if server is None:
            self._waiting.append(order)
            self.need()
        else:
            server.fork(order)

    async def exit_code(self, worker: Incarnation) -> int | None:
        """Return the exit code of a worker that has ended, or None if no living fork server was its parent."""
        parent = next((server for server in self._living if server.is_parent_of(worker)), None)
        return None if parent is None else await parent.exit_code(worker)

    def pids(self) -> set[int]:
        """Return the pids of those that live. May be called in any thread."""
        return {server.pid for server in list(self._living)}

    def need(self) -> None:
        """Start the first one now, if it was not started before; the first order does the same."""
        self._needed.set()

    # The one that serves ---------------------------------------------------------------------------------------------

    def count_from(self, number: int) -> None:
        """Give the next fork server a number above this one: a supervisor before this one had some too."""
        self._last_number = max(self._last_number, number)

    @property
    def serving_number(self) -> int | None:
        """The number of the one that serves, None while there is none."""
        return None if self._serving is None else self._serving.number

    def ask(self) -> None:
        """Ask the one that serves whether it answers. Call it now and then."""
        if self._serving is not None:
            self._serving.ask()

    def show(self, vitals: HostVitals) -> HostVitals:
        """Return `vitals` with how the one that serves is."""
        server = self._serving
        if self._failures >= DYING_AFTER and time.monotonic() - self._began <= STABLE_AFTER_S:
            return structs.replace(vitals, fork_server=ForkServerState.DYING)
        if server is None:
            return vitals
        silent_s = round(server.silent_s, 1)
        return structs.replace(
            vitals, fork_server=server.state, fork_server_pid=server.pid, fork_server_silent_s=silent_s
        )

    def lives(self, number: int) -> bool:
        """Return whether the fork server of this number is there."""
        return any(server.number == number for server in self._living)

    async def serving(self) -> int:
        """Return the number of the one that serves once it is up. Raises NotUpError."""
        self.need()
        await self._running.wait()
        if self._serving is None:
            raise NotUpError("The fork server has just died. Look at the supervisor's log.")
        server = self._serving
        await server.up(self._preload_timeout_s)
        return server.number

    async def run(self) -> None:
        """Keep one serving until cancelled; a dead one is replaced after a jittered, capped wait.

        Without a process that was started before, begin when one is needed.
        """
        async with asyncio.TaskGroup() as self._group:
            self._task(self._look_for_ever())
            if self._first is None:
                await self._needed.wait()
            while True:
                self._began = time.monotonic()
                await self._serve_once()
                self._failures = 1 if time.monotonic() - self._began > STABLE_AFTER_S else self._failures + 1
                delay_s = random.uniform(0, min(RESTART_CAP_S, 0.1 * 2 ** min(self._failures, 10)))  # noqa: S311 - jitter
                if self._new is not None and self._new.warm:
                    log.error("forkserver.died", replaced_by=self._new.number)
                    self.promote()
                    continue
                log.error("forkserver.died", restart_in_s=round(delay_s, 2), failures=self._failures)
                await asyncio.sleep(delay_s)

    async def _serve_once(self) -> None:
        """Return when the one that serves has died; one that was promoted meanwhile goes on serving."""
        if self._serving is None:
            try:
                self._serving = self._start()
            except OSError as fault:
                log.error("forkserver.not_started", error=str(fault))  # noqa: TRY400 - the cause is one line
                self._handlers.refused(fault)
                return
            self._give_waiting()
            self._task(self._watch_preload(self._serving))
        self._running.set()
        while self._serving is not None and not self._serving.ended.is_set():
            self._one_ended.clear()
            await self._one_ended.wait()
        self._waiting += self._serving.unsent
        self._serving = None

    async def _look_for_ever(self) -> None:
        """End those that live and do not answer: what they were asked for is then asked of the next."""
        while True:
            await asyncio.sleep(LOOK_S)
            for server in list(self._living):
                server.look()

    async def _watch_preload(self, server: ForkServer) -> None:
        """Kill a server that hangs in an import. One whose import failed serves: its bots say what is wrong."""
        try:
            await server.up(self._preload_timeout_s)
        except NotUpError as fault:
            log.error("forkserver.not_up", number=server.number, why=fault.why, details=fault.details)  # noqa: TRY400

    # The new one beside it -------------------------------------------------------------------------------------------

    async def start_new(self) -> int:
        """Start one beside the one that serves and return its number once it is up.

        The one that serves comes up first, or fails to. Raises NotUpError if the new one does not come up; `discard` is
        called then.
        """
        with contextlib.suppress(NotUpError):
            await self.serving()
        try:
            self._new = server = self._start()
        except OSError as fault:
            raise NotUpError(f"No process could be started for a new fork server ({fault.strerror}).") from fault
        await server.up(self._preload_timeout_s)
        return server.number

    def move(self, bot_id: str) -> None:
        """From now on fork this bot from the new one."""
        self._moved.add(bot_id)

    def return_all(self) -> None:
        """From now on fork all bots from the one that serves."""
        self._moved.clear()

    def promote(self) -> None:
        """Let the new one serve from now on, if it is there; the old one ends when its last worker is gone."""
        new, old = self._new, self._serving
        self._new = None
        self._moved.clear()
        if new is None or new.ended.is_set():
            return
        self._serving = new
        self._give_waiting()
        log.info("forkserver.promoted", number=new.number, pid=new.pid)
        if old is not None:
            self._retire(old)

    def discard(self) -> None:
        """End the new one, if it is there, when its last worker is gone."""
        new, self._new = self._new, None
        self._moved.clear()
        if new is not None and not new.ended.is_set():
            self._retire(new)

    def _retire(self, server: ForkServer) -> None:
        self._reroute(server)
        self._task(self._end_when_idle(server))

    async def _end_when_idle(self, server: ForkServer) -> None:
        try:
            await asyncio.wait_for(server.idle(), RETIRE_TIMEOUT_S)
        except TimeoutError:
            log.warning("forkserver.children_left", number=server.number, pid=server.pid)
        log.info("forkserver.retired", number=server.number, pid=server.pid)
        server.close()

    # Processes -------------------------------------------------------------------------------------------------------

    def _start(self) -> ForkServer:
        process, self._first = self._first or ForkServerProcess.spawn(), None
        self._last_number += 1
        server = ForkServer(self._last_number, process, self._handlers, self._preload())
        self._living.append(server)
        self._task(self._live(server))
        return server

    async def _live(self, server: ForkServer) -> None:
        await server.run()
        self._living.remove(server)
        self._one_ended.set()
        if server is self._new:
            self._new = None
            self._reroute(server)

    def _give_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for order in waiting:
            self.fork(order)

    def _reroute(self, server: ForkServer) -> None:
        """Have the one that serves fork what another never got."""
        waiting, server.unsent = server.unsent, []
        for order in waiting:
            self.fork(order)

    def _task(self, work: Coroutine[None, None, None]) -> None:
        assert self._group is not None  # noqa: S101 - nothing starts before `run` does
        self._group.create_task(work)
