"""The supervisor's side of the fork server: keeps one running, hands it orders, learns exit codes from it."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from flotilla.protocol import (
    Fork,
    Forked,
    ForkFailed,
    FrameDecoder,
    FromForkServer,
    Preload,
    ProtocolError,
    Reaped,
    Warm,
    encode,
    from_fork_server,
)
from supervisor.zygote import ForkServerProcess

READ_BYTES = 64 * 1024
RESTART_CAP_S = 10.0
STABLE_AFTER_S = 30.0
EXIT_CODE_TIMEOUT_S = 0.5
"""A pidfd tells of an exit first; the fork server's word on the exit code follows within milliseconds, or never."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ForkHandlers:
    """What becomes of an order: exactly one of the two is called for every order that was sent."""

    forked: Callable[[Forked], None]
    failed: Callable[[ForkFailed], None]


class ForkServerClient:
    """Keeps a fork server running and forks workers through it.

    preload: modules that the fork server imports for all of its workers. first: one that was started already.
    Orders given while it is not warm yet wait for it; those it took to its grave are answered as failed.
    """

    def __init__(
        self, handlers: ForkHandlers, preload: tuple[str, ...], first: ForkServerProcess | None = None
    ) -> None:
        self._preload = preload
        self._first = first
        self._handlers = handlers
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: list[Fork] = []
        self._under_way: dict[tuple[str, int], Fork] = {}
        self._exit_codes: dict[int, asyncio.Future[int]] = {}
        self._pids: set[int] = set()
        self.warm = asyncio.Event()

    def fork(self, order: Fork) -> None:
        """Ask for a worker."""
        if self._writer is None or not self.warm.is_set():
            self._waiting.append(order)
            return
        self._under_way[order.bot_id, order.generation] = order
        self._writer.write(encode(order))

    async def exit_code(self, pid: int) -> int | None:
        """Return the exit code of a worker that has ended, or None if no living fork server was its parent."""
        if pid not in self._pids:
            return None
        future = self._exit_code_future(pid)
        try:
            return await asyncio.wait_for(asyncio.shield(future), EXIT_CODE_TIMEOUT_S)
        except TimeoutError:
            return None
        finally:
            self._exit_codes.pop(pid, None)
            self._pids.discard(pid)

    async def run(self) -> None:
        """Keep a fork server alive until cancelled; a dead one is replaced after a jittered, capped wait."""
        failures = 0
        while True:
            began = time.monotonic()
            await self._run_once()
            failures = 1 if time.monotonic() - began > STABLE_AFTER_S else failures + 1
            delay_s = random.uniform(0, min(RESTART_CAP_S, 0.1 * 2**failures))  # noqa: S311 - jitter
            log.error("forkserver.died", restart_in_s=round(delay_s, 2), failures=failures)
            await asyncio.sleep(delay_s)

    async def _run_once(self) -> None:
        started, self._first = self._first or ForkServerProcess.spawn(), None
        log.info("forkserver.started", pid=started.process.pid)
        reader, writer = await asyncio.open_connection(sock=started.socket)
        self._writer = writer
        writer.write(encode(Preload(self._preload)))
        try:
            await self._read(reader)
        finally:
            self._writer = None
            self.warm.clear()
            writer.close()
            await asyncio.to_thread(started.end)
            self._fail_orders()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = FrameDecoder()
        try:
            while received := await reader.read(READ_BYTES):
                for body in decoder.feed(received):
                    self._take(from_fork_server.decode(body))
        except (OSError, ProtocolError) as fault:
            log.error("forkserver.broken", error=str(fault))  # noqa: TRY400 - the cause is one line, not a traceback

    def _take(self, message: FromForkServer) -> None:
        match message:
            case Warm():
                log.info("forkserver.warm", warm_s=round(message.warm_s, 2))
                self.warm.set()
                waiting, self._waiting = self._waiting, []
                for order in waiting:
                    self.fork(order)
            case Forked():
                self._under_way.pop((message.bot_id, message.generation), None)
                self._pids.add(message.pid)
                self._handlers.forked(message)
            case ForkFailed():
                self._under_way.pop((message.bot_id, message.generation), None)
                self._handlers.failed(message)
            case Reaped():
                future = self._exit_code_future(message.pid)
                if not future.done():
                    future.set_result(message.exit_code)

    def _exit_code_future(self, pid: int) -> asyncio.Future[int]:
        return self._exit_codes.setdefault(pid, asyncio.get_running_loop().create_future())

    def _fail_orders(self) -> None:
        lost, self._under_way = self._under_way, {}
        self._pids.clear()
        self._exit_codes.clear()
        for order in lost.values():
            self._handlers.failed(ForkFailed(order.bot_id, order.generation, "the fork server died"))
