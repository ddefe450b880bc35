"""The supervisor's side of one fork server process: hands it orders, learns exit codes, hears what it says."""

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from flotilla.domain.vitals import ForkServerState
from flotilla.protocol import (
    VERSION,
    Fork,
    Forked,
    ForkFailed,
    FrameDecoder,
    FromForkServer,
    Ping,
    Pong,
    Preload,
    Preloaded,
    ProtocolError,
    Reaped,
    Warm,
    encode,
    from_fork_server,
)
from flotilla.redaction import redact_text
from flotilla.tasks import awaited
from supervisor.processes import catches
from supervisor.zygote import ForkServerProcess

READ_BYTES = 64 * 1024
EXIT_CODE_TIMEOUT_S = 0.5
"""A pidfd tells of an exit first; the fork server's word on the exit code follows within milliseconds, or never."""

EXIT_CODE_KEPT_S = 60.0
"""An exit code that nobody has asked for by then is of a worker that nobody held."""

Incarnation = tuple[str, int]
"""A bot's id and a generation of its worker. Exit codes are kept by it: the kernel gives a pid to others again."""

LOOK_S = 1.0
MAX_SILENT_LOOKS = 10
"""A fork takes milliseconds. Looks are counted and not seconds: one that was stopped itself has not looked meanwhile,
and must not take its own absence for the fork server's."""

MAX_IDLE_SILENT_LOOKS = 30
"""The same without an order: nobody waits for it yet, so there is time to say so before it is replaced."""

WARM_TIMEOUT_S = 60.0
"""An idle machine takes 1 s, and `worker_bot.warmup` gives up by itself after 10."""

SILENT_AFTER_ASKED = 2
"""It is asked every 5 s, and answers within milliseconds unless it forks hundreds of workers at that moment."""

STACKS_WAIT_S = 0.3
OUTPUT_LINES = 200
OUTPUT_LINE_BYTES = 2000
MAX_LOGGED_LINES = 500
"""Of what one fork server prints; after that only the last lines are kept, and not logged."""

DETAILS_CHARS = 8000
log = structlog.get_logger()


def _ignore(*_told: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class ForkHandlers:
    """What becomes of an order: exactly one of the first two is called for every order that was sent.

    forked is told the number of the fork server, too. hung: told the number of one that did not answer, and why it was
    killed. refused: told that no process could be started for one.
    """

    forked: Callable[[Forked, int], None]
    failed: Callable[[ForkFailed], None]
    hung: Callable[[int, str], object] = _ignore
    refused: Callable[[OSError], object] = _ignore


class NotUpError(Exception):
    """A fork server cannot serve. why: a sentence. details: a traceback or its last words, without secrets."""

    def __init__(self, why: str, details: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.details = details


class ForkServer:
    """One fork server, from its start to its end. number: which one of this fleet, ever growing.

    Orders given before it is warm wait for it; those it took to its grave are answered as failed. `unsent` has those it
    never got.
    """

    def __init__(self, number: int, process: ForkServerProcess, handlers: ForkHandlers, preload: Preload) -> None:
        self.number = number
        self.ended = asyncio.Event()
        self.unsent: list[Fork] = []
        self.warm = False
        self._process = process
        self._handlers = handlers
        self._preload = preload
        self._writer: asyncio.StreamWriter | None = None
        self._under_way: dict[tuple[str, int], Fork] = {}
        self._exit_codes: dict[Incarnation, asyncio.Future[int]] = {}
        self._children: dict[int, Incarnation] = {}
        self._warmed_up: asyncio.Future[NotUpError | None] = asyncio.get_running_loop().create_future()
        self._up: asyncio.Future[NotUpError | None] = asyncio.get_running_loop().create_future()
        self._said: deque[str] = deque(maxlen=OUTPUT_LINES)
        self._heard = 0
        self._changed = asyncio.Event()
        self._silent_looks = 0
        self._why_ended = self._why_lost = ""
        self._asked_at: float | None = None
        self._unanswered = 0

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.process.pid

    async def idle(self) -> None:
        """Return when it has neither children nor orders, or has ended."""
        while self._children or self._under_way or self.unsent:
            self._changed.clear()
            await self._changed.wait()

    def fork(self, order: Fork) -> None:
        """Ask for a worker."""
        if self._writer is None or not self.warm:
            self.unsent.append(order)
            return
        self._under_way[order.bot_id, order.generation] = order
        self._writer.write(encode(order))

    def ask(self) -> None:
        """Ask whether it answers, unless it is still coming up: then `up` has a deadline. Call it now and then."""
        if self._writer is None or not self._up.done():
            return
        self._unanswered += 1
        if self._asked_at is None:
            self._asked_at = asyncio.get_running_loop().time()
            self._writer.write(encode(Ping()))

    @property
    def state(self) -> ForkServerState:
        """Whether it answers. What counts is how often it was asked, so a supervisor that slept blames nobody."""
        if not self._up.done():
            return ForkServerState.WARMING
        return ForkServerState.SILENT if self._unanswered > SILENT_AFTER_ASKED else ForkServerState.ANSWERS

    @property
    def silent_s(self) -> float:
        """Seconds since it was asked something that it has not answered."""
        return 0.0 if self._asked_at is None else asyncio.get_running_loop().time() - self._asked_at

    def is_parent_of(self, worker: Incarnation) -> bool:
        """Return whether it forked the worker whose exit code was not asked for yet."""
        return worker in self._exit_codes

    async def exit_code(self, worker: Incarnation) -> int | None:
        """Return the exit code of a worker that has ended, or None if that cannot be known."""
        future = self._exit_codes.get(worker)
        if future is None:
            return None
        try:
            return await asyncio.wait_for(asyncio.shield(future), EXIT_CODE_TIMEOUT_S)
        except TimeoutError:
            return None
        finally:
            self._exit_codes.pop(worker, None)

    async def up(self, preload_timeout_s: float) -> None:
        """Return when it is warm and has imported everything.

        Raises NotUpError if it ends before, if an import fails, or if it is not warm within WARM_TIMEOUT_S or the
        imports take longer than `preload_timeout_s`: then the process is killed.
        """
        warming = (self._warmed_up, WARM_TIMEOUT_S, "The fork server was not warm")
        importing = (self._up, preload_timeout_s, "The fork server had not imported all extensions")
        for future, timeout_s, what in (warming, importing):
            try:
                fault = await asyncio.wait_for(asyncio.shield(future), timeout_s)
            except TimeoutError:
                why = f"{what} within {timeout_s:g} s. Mend what hangs (the details show where it was)"
                details = await self._stacks()
                self.kill(why)
                raise NotUpError(f"{why}, or raise FLOTILLA_PRELOAD_TIMEOUT_S.", details) from None
            if fault is not None:
                raise fault

    def look(self) -> None:
        """End it if it has answered nothing for `MAX_SILENT_LOOKS` looks. What it imports now has its own time."""
        if not (self._under_way or self._unanswered) or not self._up.done():
            self._silent_looks = 0
            return
        self._silent_looks += 1
        if self._silent_looks <= (MAX_SILENT_LOOKS if self._under_way else MAX_IDLE_SILENT_LOOKS):
            return
        silent_s, self._silent_looks = self._silent_looks * LOOK_S, 0
        self._why_lost = "the fork server did not answer"
        why = f"It has answered nothing, none of {len(self._under_way)} orders either, for {silent_s:g} s."
        self._handlers.hung(self.number, why)
        self.kill(why)

    def close(self) -> None:
        """Let it end; its workers stay."""
        if self._writer is not None:
            self._writer.close()

    def kill(self, why: str) -> None:
        """End it at once; its workers stay."""
        log.error("forkserver.killed", number=self.number, pid=self.pid, why=why)
        self._process.process.kill()
        self.close()

    async def run(self) -> None:
        """Serve until the process ends or `close` is called. Cancelled, it ends the process."""
        log.info("forkserver.started", number=self.number, pid=self.pid)
        listening = awaited(self._listen())
        try:
            reader, self._writer = await asyncio.open_connection(sock=self._process.socket)
            self._writer.write(encode(self._preload))
            await self._read(reader)
        finally:
            if self._writer is not None:
                self._writer.close()
            self._writer, self.warm = None, False
            await self._bury(listening)

    async def _bury(self, listening: asyncio.Future[None]) -> None:
        await asyncio.to_thread(self._process.end)
        with contextlib.suppress(TimeoutError, OSError):
            await asyncio.wait_for(listening, 1.0)
        code = self._process.process.returncode
        why = self._why_ended or f"The fork server ended before it was up, with exit code {code}."
        self._come(NotUpError(why, self._last_words()), self._warmed_up, self._up)
        lost, self._under_way = self._under_way, {}
        self._children.clear()
        self._exit_codes.clear()
        self.ended.set()
        self._changed.set()
        for order in lost.values():
            why = self._why_lost or "the fork server died"
            self._handlers.failed(ForkFailed(order.bot_id, order.generation, why))

    # What it says ----------------------------------------------------------------------------------------------------

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = FrameDecoder()
        try:
            while received := await reader.read(READ_BYTES):
                for body in decoder.feed(received):
                    self._take(from_fork_server.decode(body))
        except OSError as fault:
            log.error("forkserver.lost", number=self.number, error=str(fault))  # noqa: TRY400 - the cause is one line
        except (ProtocolError, msgspec.DecodeError) as fault:
            self._why_ended = f"The fork server does not speak as this supervisor does ({fault}). {_RESTART_FIRST}"
            log.error("forkserver.broken", number=self.number, error=str(fault))  # noqa: TRY400 - the cause is one line

    def _take(self, message: FromForkServer) -> None:
        self._silent_looks = 0
        match message:
            case Warm(warm_s, version):
                self._warmed(warm_s, version)
            case Preloaded(fault):
                self._preloaded(redact_text(fault))
            case Forked():
                self._under_way.pop((message.bot_id, message.generation), None)
                worker = message.bot_id, message.generation
                self._children[message.pid] = worker
                self._exit_codes[worker] = asyncio.get_running_loop().create_future()
                self._handlers.forked(message, self.number)
            case ForkFailed():
                self._under_way.pop((message.bot_id, message.generation), None)
                self._handlers.failed(message)
            case Pong():
                self._asked_at, self._unanswered = None, 0
            case Reaped():
                self._reaped(message)
        self._changed.set()

    def _reaped(self, message: Reaped) -> None:
        worker = self._children.pop(message.pid, None)
        future = None if worker is None else self._exit_codes.get(worker)
        if worker is None or future is None or future.done():
            return
        future.set_result(message.exit_code)
        asyncio.get_running_loop().call_later(EXIT_CODE_KEPT_S, self._exit_codes.pop, worker, None)

    def _warmed(self, warm_s: float, version: int) -> None:
        if version != VERSION:
            raise ProtocolError(f"it speaks protocol {version}, this supervisor {VERSION}")
        log.info("forkserver.warm", number=self.number, warm_s=round(warm_s, 2))
        self.warm = True
        self._come(None, self._warmed_up)
        waiting, self.unsent = self.unsent, []
        for order in waiting:
            self.fork(order)

    def _preloaded(self, fault: str) -> None:
        details = fault[-DETAILS_CHARS:]
        if fault:
            log.error("forkserver.preload_failed", number=self.number, traceback=details)
        why = "An extension could not be imported. Mend it; the details show the traceback."
        self._come(NotUpError(why, details) if fault else None, self._up)

    @staticmethod
    def _come(fault: NotUpError | None, *futures: "asyncio.Future[NotUpError | None]") -> None:
        for future in futures:
            if not future.done():
                future.set_result(fault)

    # What it prints --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Pass what it prints on to the log, and keep the last lines."""
        reader = asyncio.StreamReader(limit=READ_BYTES)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._process.output)
        try:
            rest = b""
            while chunk := await reader.read(READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._hear(line)
                rest = rest[-OUTPUT_LINE_BYTES:]
            self._hear(rest)
        finally:
            transport.close()

    def _hear(self, line: bytes) -> None:
        text = redact_text(line[:OUTPUT_LINE_BYTES].decode(errors="replace").rstrip())
        if text:
            self._said.append(text)
            self._heard += 1
            if self._heard <= MAX_LOGGED_LINES:
                log.warning("forkserver.said", number=self.number, line=text)

    def _last_words(self) -> str:
        return "\n".join(self._said)[-DETAILS_CHARS:]

    async def _stacks(self) -> str:
        """Have a fork server that hangs in an import write where, and return that."""
        if catches(self.pid, signal.SIGUSR2):
            self._process.process.send_signal(signal.SIGUSR2)
            await asyncio.sleep(STACKS_WAIT_S)
        return self._last_words()


_RESTART_FIRST = "Perhaps Flotilla itself was upgraded: run `flotilla supervisor restart` first."
