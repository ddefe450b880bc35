"""Uptime from the database, on SQLite and PostgreSQL."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.bots import BotFilter, SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.tables import bot_transitions
from flotilla.db.uptime import SqlUptime, marks_query
from flotilla.domain.bots import Bot, Transition
from flotilla.domain.uptime import KEPT, Uptime
from flotilla.domain.worker import State
from flotilla.errors import NotFoundError
from tests.builders import T0, a_bot

HOUR = timedelta(hours=1)


@pytest.fixture
def history(database: Database) -> SqlUptime:
    return SqlUptime(database)


@pytest.fixture
def fleet(database: Database) -> SqlFleetStore:
    return SqlFleetStore(database)


@pytest.fixture
async def bot(database: Database) -> Bot:
    return await added(database, 1)


async def added(database: Database, number: int) -> Bot:
    bot = a_bot(number)
    await SqlBots(database).add(bot, b"")
    return bot


def row(bot: Bot, at: datetime, state: State, *, expected: bool = True) -> Transition:
    return Transition(bot.id, at, state, state is State.RUNNING, 1, None, expected)


async def test_report_is_exact_over_every_window(history: SqlUptime, fleet: SqlFleetStore, bot: Bot) -> None:
    odd = timedelta(microseconds=1)
    rows = [
        row(bot, T0 - 40 * 24 * HOUR, State.BACKOFF),
        row(bot, T0 - 35 * 24 * HOUR, State.RUNNING),
        row(bot, T0 - 10 * 24 * HOUR, State.BACKOFF),
        row(bot, T0 - 10 * 24 * HOUR + HOUR + odd, State.RUNNING),
        row(bot, T0 - 2 * HOUR, State.STOPPED, expected=False),
        row(bot, T0 - HOUR - odd, State.RUNNING),
        row(bot, T0 + HOUR, State.FATAL),  # by a clock that was set back since
    ]
    await fleet.save([], rows)
    found = await history.report(bot.id, T0)
    stopped = HOUR - odd
    assert found.last_hour == Uptime(up=HOUR)
    assert found.windows["24h"] == Uptime(up=24 * HOUR - stopped, unwanted=stopped)
    assert found.windows["7d"] == Uptime(up=7 * 24 * HOUR - stopped, unwanted=stopped)
    assert found.windows["30d"] == Uptime(30 * 24 * HOUR - stopped - HOUR - odd, HOUR + odd, stopped)


async def test_rows_written_out_of_order_are_read_by_their_times(
    history: SqlUptime, fleet: SqlFleetStore, bot: Bot
) -> None:
    rows = [row(bot, T0 - 3 * HOUR, State.RUNNING), row(bot, T0 - 30 * HOUR, State.FATAL)]
    await fleet.save([], rows)
    assert (await history.report(bot.id, T0)).windows["24h"] == Uptime(up=3 * HOUR, down=21 * HOUR)


async def test_of_rows_of_one_moment_the_last_written_holds(history: SqlUptime, fleet: SqlFleetStore, bot: Bot) -> None:
    for at in (T0 - 30 * HOUR, T0 - 3 * HOUR):
        await fleet.save([], [row(bot, at, State.BACKOFF), row(bot, at, State.STARTING), row(bot, at, State.RUNNING)])
    assert (await history.report(bot.id, T0)).windows["24h"] == Uptime(up=24 * HOUR)


async def test_up_is_unknown_from_when_a_supervisor_that_is_gone_was_last_seen(
    history: SqlUptime, fleet: SqlFleetStore, bot: Bot
) -> None:
    await fleet.save([], [row(bot, T0 - 30 * HOUR, State.RUNNING)])
    await fleet.seen(0, 1, T0 - 30 * HOUR, T0 - 5 * HOUR)
    assert (await history.report(bot.id, T0)).windows["24h"] == Uptime(up=19 * HOUR, unknown=5 * HOUR)
    await fleet.seen(0, 1, T0 - 30 * HOUR, T0 - timedelta(seconds=3))
    assert (await history.report(bot.id, T0)).windows["24h"] == Uptime(up=24 * HOUR)


async def test_bot_without_a_record_is_reported_and_an_unknown_one_is_not_found(history: SqlUptime, bot: Bot) -> None:
    assert (await history.report(bot.id, T0)).windows["24h"] == Uptime(unwanted=24 * HOUR)
    with pytest.raises(NotFoundError) as raised:
        await history.report("x", T0)
    assert raised.value.code == "bot_unknown"


async def test_sweep_forgets_only_what_no_window_needs(
    database: Database, history: SqlUptime, fleet: SqlFleetStore, bot: Bot
) -> None:
    quiet = await added(database, 2)
    await fleet.save([], [row(quiet, T0 - 100 * 24 * HOUR, State.RUNNING)])
    olds = [row(bot, T0 - KEPT - n * HOUR, State.RUNNING if n % 2 else State.BACKOFF) for n in range(1, 12)]
    await fleet.save([], [*olds, row(bot, T0 - KEPT, State.RUNNING), row(bot, T0 - HOUR, State.BACKOFF)])
    before = [await history.report(one.id, T0) for one in (bot, quiet)]
    removed = [await history.forget(T0 - KEPT, limit=4) for _ in range(4)]
    assert removed == [4, 4, 2, 0]
    assert [await history.report(one.id, T0) for one in (bot, quiet)] == before
    async with database.read() as connection:
        kept = (await connection.execute(sa.select(bot_transitions.c.at).order_by(bot_transitions.c.at))).scalars()
    assert list(kept) == [T0 - 100 * 24 * HOUR, T0 - KEPT - HOUR, T0 - KEPT, T0 - HOUR]


# Many ----------------------------------------------------------------------------------------------------------------

BOTS, EACH = 60, 200


async def fill(database: Database, bots: int, each: int, span: timedelta, end: datetime) -> list[str]:
    """Record `each` transitions of `bots` bots over `span`, mixed as a supervisor would; return the bots' ids."""
    made = [a_bot(number) for number in range(bots)]
    for bot in made:
        await SqlBots(database).add(bot, b"")
    for begin in range(0, each, 50):
        rows = [
            {
                "bot_id": bot.id,
                "at": end - span * (1 - n / each),
                "generation": n,
                "expected": True,
                "state": "RUNNING" if n % 2 else "BACKOFF",
                "ready": bool(n % 2),
            }
            for n in range(begin, min(begin + 50, each))
            for bot in made
        ]
        async with database.write() as connection:
            await connection.execute(bot_transitions.insert(), rows)
    async with database.write() as connection:
        await connection.execute(sa.text("ANALYZE"))
    return [bot.id for bot in made]


async def plan_of(database: Database, query: sa.CompoundSelect[Any], *preparations: str) -> list[str]:
    """Return the steps of a query's plan, one a string."""
    sql = query.compile(database.engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with database.read() as connection:
        for statement in preparations:
            await connection.exec_driver_sql(statement)
        if database.engine.dialect.name == "sqlite":
            return [step.detail for step in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
        document = (await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}")).scalar_one()
    return _steps(document if isinstance(document, list) else json.loads(document))


def _steps(node: object) -> list[str]:
    if isinstance(node, list):
        return [step for part in node for step in _steps(part)]
    if not isinstance(node, dict):
        return []
    own = (
        [f"{node['Node Type']} {node.get('Index Name') or node.get('Relation Name') or ''}"]
        if "Node Type" in node
        else []
    )
    return own + [step for part in node.values() for step in _steps(part)]


async def test_transitions_are_found_by_their_index(database: Database) -> None:
    now = datetime.now(UTC)
    ids = await fill(database, BOTS, EACH, timedelta(days=30), now)
    # So few rows PostgreSQL would rather read one after the other; a real fleet has more.
    preparations = () if database.engine.dialect.name == "sqlite" else ("SET LOCAL enable_seqscan = off",)
    steps = await plan_of(database, marks_query(ids[:5], now - 24 * HOUR, now), *preparations)
    indexes = ("ix_bot_transitions_bot_id_at", "pk_bot_transitions", "INTEGER PRIMARY KEY")
    reads = [
        step for step in steps if re.search("(?<!Heap )Scan .*transitions|(SEARCH|SCAN) (before|bot_transitions)", step)
    ]
    assert len(reads) == 3, steps
    assert all(any(index in step for index in indexes) for step in reads), steps
    assert sum(indexes[0] in step for step in steps) == 2, steps


async def test_page_of_a_busy_fleet_asks_as_often_as_a_page_of_one_and_is_quick(database: Database) -> None:
    await fill(database, BOTS, EACH, 24 * HOUR, datetime.now(UTC))
    bots, asked = SqlBots(database), []
    sa.event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *a: asked.append(a[2]), named=False)
    await bots.page(BotFilter(), 1, None)
    of_one = len(asked)
    asked.clear()
    began = time.perf_counter()
    page = await bots.page(BotFilter(), 50, None)
    took_s = time.perf_counter() - began
    assert len(page.items) == 50
    assert all(view.uptime_ratio_24h == pytest.approx(0.5, abs=0.02) for view in page.items)
    assert len(asked) == of_one
    assert took_s < 2
