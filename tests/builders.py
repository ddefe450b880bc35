"""Plain values that tests need many of."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from flotilla.domain.bots import Bot, Desired
from flotilla.domain.heap import Allocation, HeapReport, HeapType
from flotilla.domain.operations import Kind, Operation, OperationState, Selector, Strategy

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def token_of(number: int, mac: str = "s3cret-mac_" * 4) -> str:
    """Return a well-formed token of the application `1000000000000000000 + number`; no Discord ever gave it."""
    identity = base64.urlsafe_b64encode(str(10**18 + number).encode()).decode().rstrip("=")
    return f"{identity}.Gabc_{number % 10}.{mac}{number:04d}"


def a_bot(number: int = 1, **changes: Any) -> Bot:
    """Return bot `bot-0001` or the like, wanted running."""
    bot = Bot(str(ULID()), f"bot-{number:04d}", str(10**18 + number), (), Desired.RUNNING, 0, T0)
    return replace(bot, **changes)


A_REPORT = HeapReport(
    rss_bytes=62_000_000,
    uss_bytes=14_000_000,
    counted_bytes=9_000_000,
    objects=41_000,
    one_in=2,
    types=(HeapType("bytes", 120, 7_000_000), HeapType("shop.Basket", 4000, 1_000_000)),
    caches={"guilds": 200, "guild_channels": 4000},
    took_ms=120.5,
    longest_pause_ms=11.5,
    allocations=(Allocation("shop/baskets.py:12", 40, 2_000_000),),
    traced_s=5.0,
)


def an_operation(**changes: Any) -> Operation:
    """Return an operation that has not begun."""
    operation = Operation(
        str(ULID()), Kind.RESTART, Selector(everything=True), Strategy(), OperationState.PENDING, "somebody", T0
    )
    return replace(operation, **changes)


def none_refused(bot_id: str | None, what: str, rows: int, error: Exception) -> None:
    """`Refused` of a writer whose store takes everything."""
    raise AssertionError(f"{rows} rows ({what}) of {bot_id} were refused") from error
