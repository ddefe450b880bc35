"""What the probes of a bot, and of the host it runs on, found last: stored as it is, shown as it is."""

import enum
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import structs

from flotilla.discord import INVALID_REQUESTS_MAX


class Vitals(msgspec.Struct, frozen=True):
    """Of one bot; None: not known.

    memory_slope_bytes_s: how fast it grows. memory_full_in_s: seconds until its limit at that pace, as of the sample.
    delivery: `ok`, `quiet` (nothing came lately, which may be right), `probing`, `deaf`, or `unprobed` (nothing to
    ask). quiet_s: seconds since the last event. response_p95_ms: of first responses to interactions in the last five
    minutes, `responses` their number. invalid_requests_10m: HTTP answers that count against the address' ban, in the
    last ten minutes; `quarantined`: its requests are held back for them. session_starts_24h: IDENTIFYs spent,
    `session_starts_left`: of the `session_starts_total` that Discord allows, given back at `session_starts_back_at`.
    session_start_at: of a bot that waits for its session starts, when the next automatic one may be. set_aside: what
    the supervisor cannot do for it at the moment for a fault of its own, and why; it tries again by itself.
    """

    memory_slope_bytes_s: float | None = None
    memory_full_in_s: float | None = None
    delivery: str | None = None
    quiet_s: float | None = None
    response_p95_ms: float | None = None
    responses: int | None = None
    invalid_requests_10m: int | None = None
    quarantined: bool | None = None
    session_starts_24h: int | None = None
    session_starts_left: int | None = None
    session_starts_total: int | None = None
    session_starts_back_at: datetime | None = None
    session_start_at: datetime | None = None
    set_aside: str | None = None


class ForkServerState(enum.StrEnum):
    """How the fork server is that serves. UNNEEDED: none was needed yet. DYING: it ends as often as it is started."""

    UNNEEDED = "not needed yet"
    WARMING = "warming up"
    ANSWERS = "answers"
    SILENT = "silent"
    DYING = "dying"


class HostVitals(msgspec.Struct, frozen=True):
    """Of the host's address, and of what forks its workers.

    invalid_requests_10m: of all its bots; at `invalid_requests_limit` Discord bans the address. brake: `none`, `slow`,
    or `vital` (nothing but answers to interactions). fork_server_silent_s: since it was asked something that it has not
    answered. set_aside: bots for which something cannot be done at the moment. rows_refused: what no database took,
    since this supervisor began.
    """

    invalid_requests_10m: int = 0
    brake: str = "none"
    invalid_requests_limit: int = INVALID_REQUESTS_MAX
    fork_server: ForkServerState = ForkServerState.UNNEEDED
    fork_server_pid: int | None = None
    fork_server_silent_s: float = 0.0
    set_aside: int = 0
    rows_refused: int = 0


NO_VITALS = Vitals()
_Kind = TypeVar("_Kind", Vitals, HostVitals)


def parse_vitals(stored: object) -> Vitals:
    """Return vitals as they were stored; names of another release are passed over, nonsense gives empty ones."""
    return _parse(stored, Vitals)


def parse_host_vitals(stored: object) -> HostVitals:
    """Return a host's vitals as they were stored, as `parse_vitals` does."""
    return _parse(stored, HostVitals)


def ended(vitals: Vitals) -> Vitals:
    """Return vitals without what was true of a process that is gone."""
    return structs.replace(vitals, memory_slope_bytes_s=None, memory_full_in_s=None)


def _parse(stored: object, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(stored or {}, kind)
    except msgspec.ValidationError:
        return kind()
