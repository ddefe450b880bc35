"""Whatever a worker sends, what is taken for a message can be stored on both databases."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from flotilla.domain.bounds import plain
from flotilla.domain.dated import AHEAD_S, not_ahead
from flotilla.protocol import FromWorker, Heap, from_worker
from tests.hostile.extremes import USUAL, spoilt

MOST_CHARS = 8000
BYTES_ALONE = {"Hello", "Fetch", "Ask"}
"""Messages with bytes in them, which are compared or passed on, and never stored."""


def unstorable(value: Any) -> str:
    """Return what about a value a database would refuse, or an empty string."""
    match value:
        case bool() | None:
            return ""
        case int():
            return "" if -(2**63) <= value < 2**63 else f"{value} has more than 64 bits"
        case float():
            return "" if math.isfinite(value) else f"{value} is not finite"
        case str():
            return "NUL" if "\0" in value else "too long" if len(value) > MOST_CHARS else ""
        case bytes():
            return "bytes"
        case dict():
            return next(filter(None, map(unstorable, [*value, *value.values()])), "")
        case list() | tuple():
            return next(filter(None, map(unstorable, value)), "")
    return f"{type(value)}"


@pytest.mark.parametrize("message", USUAL, ids=lambda message: type(message).__name__)
def test_what_no_worker_of_ours_sends_is_refused_or_can_be_stored(message: FromWorker) -> None:
    for where, body in spoilt(message):
        try:
            taken = from_worker.decode(body)
        except (ValueError, msgspec.MsgspecError):
            continue
        if isinstance(taken, Heap):
            taken = Heap(taken.number, taken.report.bounded())
        fault = unstorable(msgspec.to_builtins(taken, builtin_types=(bytes,)))
        assert not fault or (fault == "bytes" and type(message).__name__ in BYTES_ALONE), f"{where}: {fault}"


@pytest.mark.parametrize("message", USUAL, ids=lambda message: type(message).__name__)
def test_what_our_workers_send_is_taken(message: FromWorker) -> None:
    assert from_worker.decode(msgspec.msgpack.encode(message)) == message


@given(st.text(st.characters(), max_size=300), st.integers(0, 100))
def test_any_text_can_be_told_and_stored(text: str, chars: int) -> None:
    told = plain(text, chars)
    assert len(told) <= chars
    assert "\0" not in told
    assert told.encode().decode() == told


def test_what_is_no_character_is_told_as_one() -> None:
    assert plain("a\0\ud800", 100).startswith("a\ufffd\ufffd")


@given(st.integers(0, 2**48 - 1), st.floats(0, 1e11))
def test_no_row_is_dated_ahead_of_the_host(told_ms: int, at: float) -> None:
    now = 1.8e9
    told = ULID(told_ms.to_bytes(6) + b"0123456789")
    row_id, dated = not_ahead(str(told), at, now)
    assert ULID.from_str(row_id).timestamp <= now + AHEAD_S
    assert dated <= now + AHEAD_S
    assert row_id[10:] == str(told)[10:]
    if told.timestamp <= now:
        assert row_id == str(told)
