"""A roll-over as it is asked for (`RolloverRequest`) and as the supervisor reports it (`RolloverStatus`)."""

import enum
from dataclasses import dataclass
from datetime import datetime


class Phase(enum.StrEnum):
    """Where a roll-over stands."""

    PENDING = "pending"
    WARMING = "warming"
    CANARY = "canary"
    ROLLING = "rolling"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


FINISHED = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED, Phase.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class RolloverRequest:
    """What an admin asked for; written by the API."""

    id: str
    requested_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RolloverStatus:
    """What the supervisor reports. old_server, new_server: numbers of the fork servers, None before they are known.

    total: bots that should run. moved: those whose process is of the new fork server. moving: those in motion.
    reason: why it ended otherwise than asked. details: a traceback or the fork server's last words. Aware UTC.
    """

    rollover_id: str
    phase: Phase
    wave: int = 0
    old_server: int | None = None
    new_server: int | None = None
    total: int = 0
    moved: int = 0
    moving: int = 0
    reason: str | None = None
    details: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RolloverView:
    """Both together, as pages show them."""

    request: RolloverRequest
    status: RolloverStatus
