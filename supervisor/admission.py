"""What of a worker's message is let in: no more than its bot's share, so that no bot takes what is the others'.

What is beyond is left out here, before anything is stored or looked up for it, and told once a minute as so many more.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from msgspec import structs

from flotilla.domain.happenings import KINDS, Occurrence, Severity
from flotilla.domain.shares import (
    CHANGES,
    COMMAND_LOGS,
    EVENTS,
    GATEWAYS,
    MOVES,
    QUESTIONS,
    RELOADS,
    STARTS_ALONE,
    STATUSES,
    Share,
    Shares,
)
from flotilla.protocol import (
    Answered,
    Ask,
    CommandsRan,
    FromWorker,
    GatewaySeen,
    Happened,
    IdentifiedAlone,
    NotReady,
    Probed,
    ProtocolError,
    Ready,
    ToWorker,
)
from supervisor.member import Member

LOOK_S: Final = 2.0
TELL_S: Final = 65.0
"""What was left out of one bot's is one row each so often: the first soon, and none of them as a mere repetition."""

_QUESTIONS: Final = {"guild_config.set": CHANGES, "restart": RELOADS}
"""Topics with a share of their own: what they bring about stays, or costs more than a look."""

log = structlog.get_logger()


class Admission:
    """Of all bots. tell: sends a message to a bot's worker. note: writes a happening down, as `Chronicle.note` does."""

    def __init__(
        self,
        shares: Shares,
        tell: Callable[[str, ToWorker], object],
        note: Callable[..., object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shares, self._tell, self._note, self._clock = shares, tell, note, clock
        self._names: dict[str, str] = {}
        self._told_at: dict[str, float] = {}

    def of(self, member: Member, message: FromWorker) -> FromWorker | None:
        """Return what of a message is let in; None: nothing. Raises ProtocolError if the worker must say it anew."""
        match message:
            case Happened():
                return structs.replace(message, rows=self._events(member, message.rows))
            case CommandsRan():
                fit = self._take(member, COMMAND_LOGS, len(message.logs))
                return structs.replace(message, logs=message.logs[:fit])
            case Ready() | NotReady() if not self.may_move(member, ready=isinstance(message, Ready)):
                # It says how it is with its next Hello, so nothing is lost of one that settles.
                raise ProtocolError(f"it became READY and lost that more than {MOVES.per_minute:g} times a minute")
            case IdentifiedAlone():
                return message if self._take(member, STARTS_ALONE) else None
            case GatewaySeen():
                return message if self._take(member, GATEWAYS) else None
            case Probed(delivery) if delivery != member.vitals.delivery:
                return message if self._take(member, STATUSES) else None
            case Ask() if not self._take(member, _QUESTIONS.get(message.topic, QUESTIONS)):
                self._tell(member.bot.id, Answered(message.number, b"The bot asks for too much.", "busy"))
                return None
        return message

    def may_move(self, member: Member, *, ready: bool) -> bool:
        """Return whether a worker may say that it is READY, or not: one that does nothing else may not for a while."""
        return ready is member.worker.ready or self._take(member, MOVES) == 1

    def _events(self, member: Member, rows: tuple[Occurrence, ...]) -> tuple[Occurrence, ...]:
        """Return those that fit, critical kinds first, in their order."""
        critical = [row for row in rows if _is_critical(row)]
        others = len(rows) - len(critical)
        fit_critical = self._take(member, EVENTS, len(critical), critical=True)
        fit = self._take(member, EVENTS, others)
        if fit_critical + fit == len(rows):
            return rows
        kept, room = [], {True: fit_critical, False: fit}
        for row in rows:
            if room[_is_critical(row)]:
                room[_is_critical(row)] -= 1
                kept.append(row)
        return tuple(kept)

    def _take(self, member: Member, share: Share, wanted: int = 1, *, critical: bool = False) -> int:
        given = self._shares.take(member.bot.id, share, wanted, self._clock(), critical=critical)
        if given < wanted:
            self._names[member.bot.id] = member.bot.name
        return given

    async def run(self) -> None:
        """Tell what was left out until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.tell_left_out()

    def tell_left_out(self) -> None:
        """Tell how much more each bot told than it has a share of, since that was told of it last."""
        now = self._clock()
        for bot_id in self._shares.over():
            if now - self._told_at.get(bot_id, -TELL_S) >= TELL_S:
                self._told_at[bot_id] = now
                self._note("and_more", bot_id, self._names.get(bot_id), more=self._shares.left_out(bot_id))

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._shares.forget(bot_id)
        self._names.pop(bot_id, None)
        self._told_at.pop(bot_id, None)


def _is_critical(row: Occurrence) -> bool:
    kind = KINDS.get(row.code)
    return kind is not None and kind.severity is Severity.CRITICAL
