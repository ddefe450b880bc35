"""Rows are stored once, in order; what a store refuses costs nobody else, and what is away costs nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from flotilla.errors import RetryError
from supervisor import writer as module
from supervisor.writer import Writer
from tests.builders import none_refused

Row = tuple[str, int]
"""A bot, and a number; one below zero can never be stored."""


class RefusedError(Exception):
    """Of a row."""


@dataclass
class Store:
    """All or nothing, as a transaction is."""

    rows: list[Row] = field(default_factory=list)
    transactions: int = 0
    away: bool = False
    gate: asyncio.Event | None = None
    under_way: int = 0

    async def save(self, rows: Sequence[Row]) -> None:
        self.under_way += 1
        assert self.under_way == 1, "two at once"
        try:
            if self.gate is not None:
                await self.gate.wait()
            self.transactions += 1
            if self.away:
                raise RetryError("away")
            if any(number < 0 for _, number in rows):
                raise RefusedError
            self.rows += rows
        finally:
            self.under_way -= 1


@dataclass
class Case:
    store: Store = field(default_factory=Store)
    refused: list[tuple[str | None, int]] = field(default_factory=list)

    def writer(self, **options: Any) -> Writer[Row]:
        def refused(bot_id: str | None, what: str, rows: int, error: Exception) -> None:
            assert (what, type(error)) == ("rows", RefusedError)
            self.refused.append((bot_id, rows))

        options = {"owner": lambda row: row[0]} | options
        return Writer("rows", self.store.save, refused, **options)


@pytest.fixture
def case() -> Case:
    return Case()


async def test_a_row_that_is_refused_costs_none_of_the_others(case: Case) -> None:
    writer = case.writer()
    for number in range(500):
        writer.put((f"bot-{number % 7}", number))
    writer.put(("bot-3", -1))
    await writer.flush()
    assert sorted(number for _, number in case.store.rows) == list(range(500))
    assert case.refused == [("bot-3", 1)]
    assert case.store.transactions < 30
    assert list(writer.waiting()) == []


async def test_rows_of_one_bot_keep_their_order_when_others_are_refused(case: Case) -> None:
    writer = case.writer()
    writer.put(*[("one", number) for number in range(10)], ("two", -1), *[("one", number) for number in range(10, 20)])
    await writer.flush()
    assert [number for _, number in case.store.rows] == list(range(20))


async def test_many_bad_rows_of_one_bot_are_not_searched_for_without_end_nor_at_the_cost_of_others(case: Case) -> None:
    writer = case.writer()
    writer.put(*[("bad", -1 - number) for number in range(900)], *[(f"bot-{number}", number) for number in range(90)])
    await writer.flush()
    assert len(case.store.rows) == 90
    assert ({bot for bot, _ in case.refused}, sum(rows for _, rows in case.refused)) == ({"bad"}, 900)
    assert case.store.transactions <= 2 * module.TRIES + 40


async def test_who_told_what_is_refused_is_answered_so_that_it_is_not_told_again(case: Case) -> None:
    writer, answered = case.writer(), []
    writer.put(("one", 1), ("one", -1), key="one", then=lambda: answered.append(1))
    writer.put(key="two", then=lambda: answered.append(2))
    await writer.flush()
    assert (answered, case.store.rows) == ([1, 2], [("one", 1)])


async def test_what_is_worth_storing_of_a_refused_row_is_stored(case: Case) -> None:
    writer = case.writer(lesser=lambda row: (row[0], abs(row[1])))
    writer.put(("one", -5), ("two", 7))
    await writer.flush()
    assert (sorted(case.store.rows), case.refused) == ([("one", 5), ("two", 7)], [("one", 1)])


async def test_an_error_that_happens_once_costs_no_row(case: Case) -> None:
    save, faults = case.store.save, [ValueError("no active connection")]

    async def once(rows: Sequence[Row]) -> None:
        if faults:
            raise faults.pop()
        await save(rows)

    writer = Writer("rows", once, none_refused, owner=lambda row: row[0])
    writer.put(("one", 1))
    await writer.flush()
    assert case.store.rows == [("one", 1)]


async def test_while_the_store_is_away_everything_is_kept_and_nobody_answered(case: Case) -> None:
    writer, answered = case.writer(), []
    case.store.away = True
    writer.put(("one", 1), then=lambda: answered.append(1))
    with pytest.raises(RetryError):
        await writer.flush()
    assert (list(writer.waiting()), answered, writer.is_away) == ([("one", 1)], [], True)
    case.store.away = False
    await writer.flush()
    assert (case.store.rows, answered, writer.is_away, case.refused) == ([("one", 1)], [1], False, [])


async def test_two_flushes_store_nothing_twice(case: Case) -> None:
    writer, case.store.gate = case.writer(), asyncio.Event()
    mark = writer.put(("one", 1))
    running = asyncio.create_task(writer.run())
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(writer.flush()) for _ in range(3)]
    await asyncio.sleep(0.01)
    case.store.gate.set()
    await asyncio.gather(*others, writer.stored(mark))
    running.cancel()
    assert case.store.rows == [("one", 1)]


async def test_the_newest_of_a_key_takes_the_place_of_the_one_before(case: Case) -> None:
    writer = case.writer()
    case.store.gate = asyncio.Event()
    for number in (1, 2):
        writer.put(("one", number), key="one")
    flushing = asyncio.create_task(writer.flush())
    await asyncio.sleep(0.01)
    writer.put(("one", 3), key="one")
    case.store.gate.set()
    await flushing
    assert (case.store.rows, list(writer.waiting())) == ([("one", 2)], [("one", 3)])


async def test_the_line_is_bounded_and_what_has_a_key_is_not_dropped_for_it(case: Case) -> None:
    writer = case.writer(max_waiting=100)
    writer.put(("one", 0), key="one")
    for number in range(1, 1000):
        writer.put(("one", number))
    await writer.flush()
    kept = [number for _, number in case.store.rows]
    assert (kept[0], kept[-1], len(kept) <= 101) == (0, 999, True)


async def test_what_is_forgotten_is_not_stored_and_keeps_nobody_waiting(case: Case) -> None:
    writer = case.writer()
    writer.put(("one", 1), key="one")
    mark = writer.put(("one", 2))
    writer.put(("two", 3))
    writer.forget("one")
    await writer.flush()
    await writer.stored(mark)
    assert case.store.rows == [("two", 3)]


async def test_rows_are_stored_in_transactions_of_bounded_size(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 10)
    writer = case.writer()
    for number in range(35):
        writer.put(("one", number))
    await writer.flush()
    assert (len(case.store.rows), case.store.transactions) == (35, 4)
