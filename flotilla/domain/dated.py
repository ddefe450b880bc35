"""Rows that a worker dated: none lies ahead of the supervisor's own clock, or it would stay the newest for ever."""

from ulid import ULID

from flotilla.domain.bounds import Ulid, UnixTime

AHEAD_S = 60.0
"""How far a worker's clock may be ahead; it is this host's."""

_TIME_BYTES = 6


def not_ahead(row_id: Ulid, at: UnixTime, now: UnixTime) -> tuple[Ulid, UnixTime]:
    """Return a row's id and time, both at most AHEAD_S after `now`. Its random part stays, so it is told once."""
    latest = now + AHEAD_S
    told = ULID.from_str(row_id)
    if told.timestamp > latest:
        moved = int(latest * 1000).to_bytes(_TIME_BYTES) + told.bytes[_TIME_BYTES:]
        row_id = str(ULID(moved))
    return row_id, min(at, latest)
