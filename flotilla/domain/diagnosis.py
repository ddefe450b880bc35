"""What is kept of a bot so that an operator can tell afterwards what happened to it."""

import signal
from dataclasses import dataclass
from datetime import datetime

EXITS_KEPT = 20
"""Per bot; older ones are dropped."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one incarnation. at: aware UTC; ids grow with it.

    exit_code: as `subprocess` has it (at least 0, or minus a signal), None when nobody could see it.
    reason: code of `reasons.REASONS`; None when an operator had asked for the stop.
    tail: the last lines of the bot's log at that moment, redacted.
    """

    id: str
    bot_id: str
    at: datetime
    generation: int
    exit_code: int | None
    reason: str | None
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Stacks:
    """The stacks of a bot's threads and tasks at one moment, as asked for. at: aware UTC.

    epoch: the `stacks_epoch` that this answers. text: redacted; None if there was nothing to ask, and `fault` says why.
    """

    bot_id: str
    epoch: int
    at: datetime
    generation: int
    text: str | None
    fault: str | None = None


def exit_in_words(exit_code: int | None) -> str:
    """Return an exit code as a person reads it: `exit code 1`, `signal 9 (SIGKILL)`, `not seen`."""
    if exit_code is None:
        return "not seen"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
    return f"signal {-exit_code} ({name})"
