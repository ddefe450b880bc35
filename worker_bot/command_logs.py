"""Writes down what users do with the bot, and tells the supervisor until it is safe.

A log is begun when its interaction arrives, and told when the bot's code has ended and there was a first response, or
there can be none any more. Times are monotonic seconds.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flotilla.domain.bounds import plain
from flotilla.domain.command_logs import MAX_NAME, CommandLog, Kind, Outcome, shown
from flotilla.ids import new_id
from flotilla.protocol import CommandsRan
from flotilla.redaction import redact_hidden
from worker_bot import guard
from worker_bot.answering import VOID_S
from worker_bot.authoring import sensitive_options
from worker_bot.interactions import name_of, options_of
from worker_bot.telling import Telling

MAX_OPEN: Final = 10_000
MAX_KEPT: Final = 10_000
"""Logs that wait for the supervisor, some 5 MB; beyond it the oldest are lost, and that is told with the next batch."""

AT_ONCE: Final = 200
FORGET_S: Final = 900.0
"""An interaction's token ends then (Discord, Receiving and Responding), and whatever was to come of it has come."""

_KINDS: Final = {2: Kind.COMMAND, 3: Kind.COMPONENT, 4: Kind.AUTOCOMPLETE, 5: Kind.MODAL}
_VERDICTS: Final = {
    "failed": Outcome.FAILED,
    "no_modal": Outcome.FAILED,
    "unanswered": Outcome.UNANSWERED,
    "restarted": Outcome.UNANSWERED,
    "too_late": Outcome.LATE,
}


@dataclass(slots=True)
class _Open:
    """A log that is not told yet. running: handlers of the bot's code. spoke: the code has given a first response."""

    id: str
    interaction_id: int
    kind: Kind
    name: str
    at: float
    began: float
    user_id: int
    guild_id: int | None
    channel_id: int | None
    options: dict[str, Any]
    running: int = 0
    ended: float | None = None
    first: float | None = None
    spoke: bool = False
    deferred: bool = False
    outcome: Outcome | None = None
    error: str | None = None
    reference: str | None = None

    def is_settled(self, now: float) -> bool:
        """Return whether nothing more is to be learnt of it."""
        if self.running or self.ended is None:
            return self.outcome is Outcome.LATE or now - self.began >= FORGET_S
        if self.spoke or self.outcome is not None:
            return True
        # A message that was deferred for the code is watched by the guard, which says how it ends.
        watched = self.deferred and self.kind in {Kind.COMMAND, Kind.MODAL}
        return now - self.began >= (FORGET_S if watched else VOID_S)

    def told(self) -> CommandLog:
        """Return the log as it is now."""
        answered = Outcome.ANSWERED if self.spoke else Outcome.UNANSWERED
        return CommandLog(
            self.id,
            self.at,
            self.kind,
            plain(
                redact_hidden(self.name.encode(errors="replace")).decode(), MAX_NAME
            ),  # a custom id is the code's own
            self.outcome or answered,
            self.interaction_id,
            self.user_id,
            self.guild_id,
            self.channel_id,
            self.options,
            None if self.first is None else _ms(self.first - self.began),
            None if self.ended is None else _ms(self.ended - self.began),
            self.deferred,
            None if self.error is None else plain(self.error, 200),
            self.reference,
        )


class CommandLogs:
    """The logs of one bot on their way to its supervisor.

    send: tells the supervisor; False: it is away. left: file for what the next worker shall tell, None: there is none.
    What a worker before left is told first. count: given each log of this worker, once.
    """

    def __init__(
        self,
        send: Callable[[CommandsRan], bool],
        left: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[CommandLog], None] = lambda _: None,
    ) -> None:
        self._clock, self._count = clock, count
        self._open: dict[int, _Open] = {}
        self._telling = Telling(
            CommandLog,
            lambda number, logs, lost: send(CommandsRan(number, logs, lost)),
            left,
            at_once=AT_ONCE,
            most=MAX_KEPT,
            clock=clock,
        )

    # What happens to an interaction ----------------------------------------------------------------------------------

    def arrived(self, payload: Any) -> None:  # noqa: ANN401 - as Discord sent it
        """Begin the log of an INTERACTION_CREATE. Never raises."""
        try:
            kind, interaction_id, name = _KINDS[payload["type"]], int(payload["id"]), name_of(payload)
            if interaction_id in self._open:
                return
            user = payload.get("user") or payload["member"]["user"]
            guild_id, channel_id = payload.get("guild_id"), payload.get("channel_id")
            begun = _Open(
                new_id(),
                interaction_id,
                kind,
                name,
                time.time(),
                self._clock(),
                int(user["id"]),
                None if guild_id is None else int(guild_id),
                None if channel_id is None else int(channel_id),
                shown(options_of(payload), sensitive_options(name)),
            )
        except (TypeError, ValueError, LookupError, AttributeError):
            return  # it is for hikari to say what that is
        self._open[interaction_id] = begun
        if len(self._open) > MAX_OPEN:
            self._close(next(iter(self._open)))

    def entered(self, interaction_id: int) -> None:
        """The bot's code begins to handle it."""
        if (begun := self._open.get(interaction_id)) is not None:
            begun.running += 1

    def raised(self, interaction_id: int, error: BaseException) -> None:
        """The bot's code raised, whether or not it has told its user something."""
        if (begun := self._open.get(interaction_id)) is not None:
            begun.outcome, begun.error = Outcome.FAILED, type(error).__name__

    def left(self, interaction_id: int) -> None:
        """The bot's code has ended."""
        if (begun := self._open.get(interaction_id)) is None:
            return
        begun.running -= 1
        begun.ended = now = self._clock()
        if begun.is_settled(now):
            self._close(interaction_id)

    def accepted(self, interaction_id: int) -> None:
        """Discord has accepted an initial response of the bot's code."""
        if (begun := self._open.get(interaction_id)) is None:
            return
        now = self._clock()
        begun.spoke = True
        begun.first = now if begun.first is None else begun.first
        if begun.is_settled(now):
            self._close(interaction_id)

    def judged(self, outcome: guard.Outcome) -> None:
        """The guard has done something about it."""
        if (begun := self._open.get(outcome.interaction_id)) is None:
            return
        now = self._clock()
        if outcome.what == "deferred":
            begun.deferred, begun.first = True, now if begun.first is None else begun.first
            return
        verdict = _VERDICTS.get(outcome.what)
        if verdict is None:
            return
        begun.outcome, begun.reference = verdict, outcome.reference or begun.reference
        begun.error = outcome.error or begun.error
        if begun.is_settled(now):
            self._close(outcome.interaction_id)

    # What is told ----------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """Tell what is due. Call it about once a second."""
        now = self._clock()
        for interaction_id in [key for key, begun in self._open.items() if begun.is_settled(now)]:
            self._close(interaction_id)
        self._telling.tell()

    def stored(self, number: int) -> None:
        """The supervisor says that a batch is safe."""
        self._telling.stored(number)

    def leave(self) -> None:
        """Tell what can be told, and leave all that is not safe yet to the next worker, which tells it again."""
        for interaction_id in list(self._open):
            self._close(interaction_id)
        self._telling.leave()

    # -----------------------------------------------------------------------------------------------------------------

    def _close(self, interaction_id: int) -> None:
        told = self._open.pop(interaction_id).told()
        self._count(told)
        self._telling.keep(told)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
