"""A successor's end of a hand-over: takes from the sealed worker before what its shards receive, as long as it must."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flotilla.protocol import FrameDecoder, ProtocolError
from flotilla.tasks import spawn
from worker_bot import seam
from worker_bot.handover import (
    MAX_FRAME_BYTES,
    READ_BYTES,
    SETTLE_S,
    VERSION,
    Ended,
    Finish,
    FromSuccessor,
    Give,
    Greeting,
    Passed,
    Release,
    framed,
    from_sealed,
    is_own,
    short_path,
)
from worker_bot.overlap import Overlap, Own, Phase

GREETED_WITHIN_S = 0.5
"""A sealed worker has little to do; one whose event loop is blocked cannot be waited for."""

ENDED_WITHIN_S = SETTLE_S + 2.0
CHECKED_S = 5.0
"""For so long what the sealed worker has passed on may still come in the new session."""

log = logging.getLogger("flotilla.session")


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event of a shard's own session, with the sequence number that it came with; `forward` hands it to hikari."""

    name: str
    shard: Any
    payload: Any
    seq: int
    forward: Callable[[], None]


Take = Callable[[Arrived, bool], None]
"""Takes an event of the own session; True: the bot was handed it already."""
TakePassed = Callable[[Any, str, Any], None]
"""Takes an event that the worker before received: shard, name, payload."""


class Inheritance:
    """What the worker before still has for this one. Made inside a running event loop, which it uses at once.

    folder: where that worker listens, if it is there. Each event is given to `take` or to `take_passed`.
    """

    def __init__(self, folder: Path, take: Take, take_passed: TakePassed) -> None:
        self._folder = folder
        self._take, self._take_passed = take, take_passed
        self._greeting: Greeting | None = None
        self._overlaps: dict[int, Overlap[Arrived]] = {}
        self._shards: dict[int, Any] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._reading: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._meeting = spawn("the meeting with the worker before", self._meet())

    @property
    def is_there(self) -> bool:
        """Whether there is a worker before that still has something for this one."""
        return self._writer is not None

    async def met(self) -> None:
        """Return when it is known whether there is a worker before, after about `GREETED_WITHIN_S` at the latest."""
        await asyncio.shield(self._meeting)

    async def settled(self) -> None:
        """Return when no session is held back, after `ENDED_WITHIN_S` at the latest. Nothing more is taken over then.

        What the worker before receives from now on it keeps for the next one.
        """
        while self._phases() & {Phase.HOLDING}:
            self._settled.clear()
            await self._settled.wait()
        self._overlaps = {i: each for i, each in self._overlaps.items() if each.phase is not Phase.BORROWING}
        self._close()

    def refused(self, shard: Any) -> None:  # noqa: ANN401 - hikari's shard
        """A shard has no session to resume: let it live on what its predecessor receives."""
        overlap = self._overlaps.get(shard.id)
        if overlap is None or self._greeting is None:
            return
        if self._greeting.shard_count != shard.shard_count:  # its shards are others
            self._overlaps.clear()
            self._close()
        elif overlap.phase is Phase.HOLDING:  # the new session is gone too
            self._end(shard.id)
        elif overlap.phase is Phase.RESUMING:
            overlap.refused()
            self._shards[shard.id] = shard
            seam.know_user(shard, self._greeting.user_id)
            self._send(Give(shard.id))
            log.info("shard %s lives on what the worker before receives until it has a session", shard.id)

    def identifies(self, shard: Any) -> None:  # noqa: ANN401
        """A shard is about to send IDENTIFY."""
        overlap = self._overlaps.get(shard.id)
        if overlap is not None:
            overlap.identifies()

    def own(self, event: Arrived) -> None:
        """Take an event of a shard's own session; it is passed to `take` at once, later, or as one known."""
        shard_id = event.shard.id
        overlap = self._overlaps.get(shard_id)
        if overlap is None:
            self._take(event, False)
            return
        before = overlap.phase
        taken = overlap.own(event.name, event.payload, event)
        if overlap.phase is not before:
            self._moved(shard_id, overlap.phase)
        self._take_all(taken)

    # -----------------------------------------------------------------------------------------------------------------

    def _moved(self, shard_id: int, phase: Phase) -> None:
        if phase is Phase.HOLDING and self._writer is not None:
            self._send(Finish(shard_id))
            self._later(shard_id, ENDED_WITHIN_S, self._end)
        elif phase is Phase.HOLDING:
            # Its caller takes what is held: the first event is among it.
            asyncio.get_running_loop().call_soon(self._end, shard_id)
        elif phase is Phase.CHECKING:
            self._later(shard_id, CHECKED_S, self._checked)
        elif phase is Phase.ALONE:
            self._overlaps.pop(shard_id)
            self._send(Release(shard_id))
        self._close_if_done()

    def _end(self, shard_id: int) -> None:
        """The predecessor passes nothing on for this shard any more."""
        overlap = self._overlaps.get(shard_id)
        if overlap is None:
            return
        before = overlap.phase
        taken = overlap.ended()
        self._take_all(taken)
        if overlap.phase is before:
            return
        if before is Phase.BORROWING:
            log.warning("the worker before is gone: what comes until shard %s has a session is lost", shard_id)
        else:
            known = sum(own.known for own in taken)
            log.info("shard %s goes on with its own session: %s of %s events were known", shard_id, known, len(taken))
        self._moved(shard_id, overlap.phase)

    def _checked(self, shard_id: int) -> None:
        self._overlaps.pop(shard_id).checked()

    def _take_all(self, taken: list[Own[Arrived]]) -> None:
        for own in taken:
            try:
                self._take(own.event, own.known)
            except LookupError:
                log.debug("ignoring unknown event %s", own.event.name)
        self._settled.set()

    def _later(self, shard_id: int, seconds: float, act: Callable[[int], None]) -> None:
        timer = self._timers.pop(shard_id, None)
        if timer is not None:
            timer.cancel()
        self._timers[shard_id] = asyncio.get_running_loop().call_later(seconds, act, shard_id)

    def _phases(self) -> set[Phase]:
        return {overlap.phase for overlap in self._overlaps.values()}

    # The worker before -----------------------------------------------------------------------------------------------

    async def _meet(self) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(GREETED_WITHIN_S):
                with short_path(self._folder) as path:
                    reader, writer = await asyncio.open_unix_connection(path)
                decoder = FrameDecoder(MAX_FRAME_BYTES)
                bodies: list[bytes] = []
                while not bodies and (received := await reader.read(READ_BYTES)):
                    bodies += decoder.feed(received)
                greeting = from_sealed.decode(bodies[0]) if bodies and is_own(_socket_of(writer)) else None
        except (OSError, TimeoutError, ProtocolError, msgspec.DecodeError) as fault:
            if writer is not None:
                log.warning("the worker before does not answer: %r", fault)
                writer.close()
            return
        if not isinstance(greeting, Greeting) or greeting.version != VERSION:
            writer.close()
            return
        self._writer, self._greeting = writer, greeting
        self._overlaps = {shard_id: Overlap() for shard_id in greeting.shard_ids}
        self._reading = spawn("the reading from the worker before", self._read(reader, decoder))

    async def _read(self, reader: asyncio.StreamReader, decoder: FrameDecoder) -> None:
        try:
            while received := await reader.read(READ_BYTES):
                for body in decoder.feed(received):
                    self._hear(from_sealed.decode(body))
        except (OSError, ProtocolError, msgspec.DecodeError) as fault:
            log.warning("the connection to the worker before broke: %r", fault)
        finally:
            self._close()

    def _hear(self, message: object) -> None:
        match message:
            case Passed(shard_id, name, payload):
                self._pass_on(shard_id, name, msgspec.json.decode(payload))
            case Ended(shard_id, lost):
                if lost:
                    log.warning("%s events of shard %s were lost: too many came during the restart", lost, shard_id)
                self._end(shard_id)
            case _:
                pass

    def _pass_on(self, shard_id: int, name: str, payload: Any) -> None:  # noqa: ANN401
        overlap, shard = self._overlaps.get(shard_id), self._shards.get(shard_id)
        if overlap is not None and shard is not None and overlap.passed_on(name, payload):
            self._take_passed(shard, name, payload)

    def _send(self, message: FromSuccessor) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(framed(message))

    def _close_if_done(self) -> None:
        if not self._phases() & {Phase.RESUMING, Phase.BORROWING, Phase.HOLDING}:
            self._close()

    def _close(self) -> None:
        """Nothing more comes: go on with what there is."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        for shard_id in list(self._overlaps):
            self._end(shard_id)
        self._settled.set()


def _socket_of(writer: asyncio.StreamWriter) -> Any:  # noqa: ANN401 - asyncio's wrapper of a socket
    return writer.get_extra_info("socket")
