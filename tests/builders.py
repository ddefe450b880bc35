"""Plain values that tests need many of."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from flotilla.domain.bots import Bot, Desired
from flotilla.domain.operations import Kind, Operation, OperationState, Selector, Strategy

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def token_of(number: int) -> str:
    """Return a well-formed token of the application `1000000000000000000 + number`; no Discord ever gave it."""
    identity = base64.urlsafe_b64encode(str(10**18 + number).encode()).decode().rstrip("=")
    return f"{identity}.Gabc_{number % 10}.{'s3cret-mac_' * 4}{number:04d}"


def a_bot(number: int = 1, **changes: Any) -> Bot:
    """Return bot `bot-0001` or the like, wanted running."""
    bot = Bot(str(ULID()), f"bot-{number:04d}", str(10**18 + number), (), Desired.RUNNING, 0, T0)
    return replace(bot, **changes)


def an_operation(**changes: Any) -> Operation:
    """Return an operation that has not begun."""
    operation = Operation(
        str(ULID()), Kind.RESTART, Selector(everything=True), Strategy(), OperationState.PENDING, "somebody", T0
    )
    return replace(operation, **changes)
