"""FleetStore: one suite for the database on SQLite, on PostgreSQL, and for the fake that other tests use."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db import tables
from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.rows import stored_config
from flotilla.db.tables import bot_exits, bot_transitions, happenings, supervisors
from flotilla.domain.bot_secrets import Encrypted
from flotilla.domain.bots import Bot, BotStatus, Desired, Transition
from flotilla.domain.config import BotConfig
from flotilla.domain.diagnosis import EXITS_KEPT, Exit, Stacks
from flotilla.domain.happenings import HAPPENINGS_KEPT, Happening
from flotilla.domain.heap import Heap
from flotilla.domain.policy import Overrides
from flotilla.domain.vitals import HostVitals, Vitals
from flotilla.domain.worker import State
from flotilla.errors import RetryError
from flotilla.ports import FleetRow, FleetStore
from tests.builders import A_REPORT, T0, a_bot
from tests.contract.conftest import BOTH
from tests.fakes.fleet import MemoryFleetStore


@dataclass(frozen=True)
class Case:
    """A store, and the other side of it: what the API does."""

    store: FleetStore
    add: Callable[[Bot, bytes], Awaitable[None]]
    ask_removal: Callable[[str, datetime], Awaitable[None]]
    change: Callable[[Bot], Awaitable[None]]
    transitions: Callable[[], Awaitable[list[tuple[str, State]]]]
    exits: Callable[[str], Awaitable[list[Exit]]]
    happenings: Callable[[str | None], Awaitable[list[Happening]]]


def memory_case() -> Case:
    store = MemoryFleetStore()

    async def add(bot: Bot, token: bytes) -> None:
        store.put(bot, token)

    async def ask_removal(bot_id: str, now: datetime) -> None:
        store.ask_removal(bot_id, now)

    async def change(bot: Bot) -> None:
        store.put(bot)

    async def transitions() -> list[tuple[str, State]]:
        return [(row.bot_id, row.state) for row in store.transitions]

    async def exits(bot_id: str) -> list[Exit]:
        return store.exits.get(bot_id, [])[::-1]

    async def told(bot_id: str | None) -> list[Happening]:
        return store.happenings.get(bot_id, [])[::-1]

    return Case(store, add, ask_removal, change, transitions, exits, told)


def sql_case(database: Database) -> Case:
    bots = SqlBots(database)

    async def change(bot: Bot) -> None:
        values = {column.name: getattr(bot, column.name) for column in tables.bots.c if hasattr(bot, column.name)}
        values["overrides"] = bot.overrides.given()
        values["config"] = stored_config(bot.config)
        async with database.write() as connection:
            await connection.execute(tables.bots.update().where(tables.bots.c.id == bot.id).values(**values))

    async def transitions() -> list[tuple[str, State]]:
        async with database.read() as connection:
            rows = await connection.execute(sa.select(bot_transitions).order_by(bot_transitions.c.id))
            return [(row.bot_id, State(row.state)) for row in rows]

    async def exits(bot_id: str) -> list[Exit]:
        query = sa.select(bot_exits).where(bot_exits.c.bot_id == bot_id).order_by(bot_exits.c.id.desc())
        async with database.read() as connection:
            rows = await connection.execute(query)
            return [Exit(r.id, r.bot_id, r.at, r.generation, r.exit_code, r.reason, r.tail) for r in rows]

    async def told(bot_id: str | None) -> list[Happening]:
        query = sa.select(happenings).where(happenings.c.bot_id == bot_id).order_by(happenings.c.id.desc())
        async with database.read() as connection:
            return [Happening(*row) for row in await connection.execute(query)]

    return Case(SqlFleetStore(database), bots.add, bots.remove, change, transitions, exits, told)


@pytest.fixture(params=["memory", *BOTH])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        return memory_case()
    return sql_case(request.getfixturevalue(f"{request.param}_database"))


def ids(rows: list[FleetRow]) -> set[str]:
    return {row.bot.id for row in rows}


async def test_bot_never_observed_is_stopped(case: Case) -> None:
    bot = a_bot(1)
    await case.add(bot, b"secret")
    assert await case.store.fleet() == [FleetRow(bot, BotStatus(bot.id))]
    assert await case.store.credentials([bot.id, "gone"]) == {bot.id: Encrypted(b"secret")}


async def test_saved_status_comes_back_whole(case: Case) -> None:
    bot = a_bot(1)
    await case.add(bot, b"")
    status = BotStatus(
        bot.id,
        State.RUNNING,
        ready=True,
        reason="crashed",
        generation=7,
        epoch=3,
        failures=2,
        pid=4242,
        process_started_at=2**40,
        secret_hash=bytes(range(32)),
        memory_bytes=2**33,
        latency_ms=41.5,
        since=T0,
        heartbeat_at=T0,
        fork_server=3,
        failed_at=(1_790_000_000.25, 1_790_000_060.5),
        config_version=12,
    )
    await case.store.save([BotStatus(bot.id), status], [])
    await case.store.save([status], [])
    assert await case.store.fleet() == [FleetRow(bot, status)]


async def test_bots_that_are_gone_are_passed_over(case: Case) -> None:
    bot = a_bot(1)
    await case.add(bot, b"")
    change = Transition("gone", T0, State.RUNNING, ready=True, generation=1, reason=None)
    await case.store.save([BotStatus("gone"), BotStatus(bot.id, State.FATAL)], [change, replace(change, bot_id=bot.id)])
    assert [row.status.state for row in await case.store.fleet()] == [State.FATAL]
    assert await case.transitions() == [(bot.id, State.RUNNING)]


async def test_saving_nothing_changes_nothing(case: Case) -> None:
    await case.store.save([], [])
    assert await case.store.fleet() == []


async def test_many_bots_are_saved_at_once(case: Case) -> None:
    rows = [a_bot(number) for number in range(60)]
    for bot in rows:
        await case.add(bot, b"")
    await case.store.save([BotStatus(bot.id, State.STARTING, generation=1) for bot in rows], [])
    assert {row.status.state for row in await case.store.fleet()} == {State.STARTING}


async def test_fleet_shows_bots_whose_removal_was_asked_for(case: Case) -> None:
    bot = a_bot(1)
    await case.add(bot, b"")
    await case.ask_removal(bot.id, T0)
    (row,) = await case.store.fleet()
    assert row.bot.deleted_at == T0


def an_exit(bot: Bot, generation: int) -> Exit:
    at = T0 + timedelta(seconds=generation)
    return Exit(str(ULID.from_datetime(at)), bot.id, at, generation, -9, "killed", f"line\n{generation} \u00fc")


async def test_only_the_last_exits_of_each_bot_are_kept(case: Case) -> None:
    noisy, quiet = a_bot(1), a_bot(2)
    for bot in (noisy, quiet):
        await case.add(bot, b"")
    await case.store.record_exits([an_exit(quiet, 1)])
    rows = [an_exit(noisy, number) for number in range(1, EXITS_KEPT + 6)]
    await case.store.record_exits(rows[:3])
    await case.store.record_exits([*rows[3:], replace(an_exit(noisy, 99), id="Z", bot_id="gone")])
    await case.store.record_exits([])
    assert await case.exits(noisy.id) == rows[: -EXITS_KEPT - 1 : -1]
    assert [row.generation for row in await case.exits(quiet.id)] == [1]


async def test_stacks_that_were_answered_are_remembered(case: Case) -> None:
    bot, other = a_bot(1), a_bot(2)
    for row in (bot, other):
        await case.add(row, b"")
    for epoch in (1, 2):
        await case.store.record_stacks(Stacks(bot.id, epoch, T0, 3, "in main", None))
    await case.store.record_stacks(Stacks("gone", 7, T0, 1, None, "no process"))
    assert {row.bot.id: row.stacks_answered for row in await case.store.fleet()} == {bot.id: 2, other.id: 0}


async def test_heaps_that_were_answered_are_remembered(case: Case) -> None:
    bot, other = a_bot(1), a_bot(2)
    for row in (bot, other):
        await case.add(row, b"")
    for epoch, report in ((1, A_REPORT), (2, None)):
        await case.store.record_heap(Heap(bot.id, epoch, T0, 3, report, None))
    await case.store.record_heap(Heap("gone", 7, T0, 1, A_REPORT))
    assert {row.bot.id: row.heap_answered for row in await case.store.fleet()} == {bot.id: 2, other.id: 0}


async def test_drop_removes_only_bots_whose_removal_was_asked_for(case: Case) -> None:
    kept, dropped = a_bot(1), a_bot(2)
    for bot in (kept, dropped):
        await case.add(bot, b"x")
        change = Transition(bot.id, T0, State.RUNNING, ready=True, generation=1, reason=None)
        await case.store.save([BotStatus(bot.id)], [change])
        await case.store.record_exits([an_exit(bot, 1)])
        await case.store.record_stacks(Stacks(bot.id, 1, T0, 1, "", None))
        await case.store.record_heap(Heap(bot.id, 1, T0, 1, None))
    await case.ask_removal(dropped.id, T0)
    await case.store.drop([kept.id, dropped.id, "gone"])
    await case.store.drop([dropped.id])
    assert ids(await case.store.fleet()) == {kept.id}
    assert (len(await case.exits(kept.id)), await case.exits(dropped.id)) == (1, [])
    assert await case.transitions() == [(kept.id, State.RUNNING)]
    assert set(await case.store.credentials([kept.id, dropped.id])) == {kept.id}


async def test_supervisor_reports_again_and_again(case: Case) -> None:
    assert await case.store.last_seen(0) is None
    for second in range(3):
        await case.store.seen(0, 1, T0, T0 + timedelta(seconds=second))
    assert await case.store.last_seen(0) == T0 + timedelta(seconds=2)
    assert await case.store.last_seen(1) is None


async def test_naive_time_is_refused_rather_than_shifted(sqlite_database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="aware UTC"):
        await SqlFleetStore(sqlite_database).seen(0, 1, T0.replace(tzinfo=None), T0)


async def test_fake_that_is_away_raises_as_the_database_does(sqlite_gone: Database) -> None:
    fake = MemoryFleetStore()
    fake.away = True
    stores: list[FleetStore] = [fake, SqlFleetStore(sqlite_gone)]
    for store in stores:
        for call in (
            store.fleet(),
            store.wanted(),
            store.credentials(["x"]),
            store.save([], []),
            store.record_exits([]),
            store.record_stacks(Stacks("x", 1, T0, 1, "", None)),
            store.record_heap(Heap("x", 1, T0, 1, None)),
            store.drop([]),
        ):
            with pytest.raises(RetryError) as raised:
                await call
            assert raised.value.code == "database_unavailable"
        with pytest.raises(RetryError):
            await store.seen(0, 1, T0, T0)
        with pytest.raises(RetryError):
            await store.last_seen(0)


def happening(number: int, bot_id: str | None, code: str = "deaf") -> Happening:
    at = T0 + timedelta(seconds=number)
    return Happening(str(ULID.from_datetime(at)), bot_id, at, code, {"number": number})


async def test_the_last_happenings_of_each_bot_and_of_the_host_are_kept(case: Case) -> None:
    first, second = a_bot(1), a_bot(2)
    await case.add(first, b"")
    await case.add(second, b"")
    await case.store.record_happenings([happening(0, second.id), happening(1, None)])
    rows = [happening(number, first.id) for number in range(HAPPENINGS_KEPT + 5)]
    await case.store.record_happenings([*rows, happening(2, None), happening(3, "gone")])
    assert await case.happenings(first.id) == rows[:4:-1]
    assert [row.detail for row in await case.happenings(second.id)] == [{"number": 0}]
    assert [row.detail for row in await case.happenings(None)] == [{"number": 2}, {"number": 1}]
    assert await case.happenings("gone") == []


async def test_what_is_critical_is_not_pushed_out_by_the_many_that_are_not(case: Case) -> None:
    bot = a_bot(1)
    await case.add(bot, b"")
    critical = [happening(0, bot.id, "fatal"), happening(1, bot.id, "second_instance")]
    await case.store.record_happenings(critical)
    for code in ("deaf", "guild_left"):
        rows = [happening(2 + number, bot.id, code) for number in range(HAPPENINGS_KEPT + 5)]
        await case.store.record_happenings(rows)
    found = await case.happenings(bot.id)
    assert [row for row in found if row in critical] == critical[::-1]
    assert len(found) == 2 * HAPPENINGS_KEPT + 2


async def test_vitals_and_a_policy_of_its_own_come_back_as_they_went(case: Case) -> None:
    bot = a_bot(1, overrides=Overrides(memory_limit_mb=128, delivery_probe=False))
    await case.add(bot, b"")
    vitals = Vitals(memory_slope_bytes_s=1.5, delivery="ok", quarantined=True)
    await case.store.save([BotStatus(bot.id, State.RUNNING, vitals=vitals)], [])
    (row,) = await case.store.fleet()
    assert (row.bot.overrides, row.status.vitals) == (bot.overrides, vitals)


async def test_vitals_of_another_release_and_nonsense_keep_no_bot_from_running(sqlite_database: Database) -> None:
    store, bot = SqlFleetStore(sqlite_database), a_bot(1)
    await SqlBots(sqlite_database).add(bot, b"")
    await store.save([BotStatus(bot.id)], [])
    async with sqlite_database.write() as connection:
        await connection.execute(sa.text("UPDATE bots SET overrides = :x"), {"x": '{"of_a_later_release": 1}'})
        await connection.execute(sa.text("UPDATE bot_status SET vitals = :x"), {"x": '{"delivery": 7}'})
    (row,) = await store.fleet()
    assert (row.bot.overrides, row.status.vitals) == (Overrides(), Vitals())


async def test_a_host_reports_its_vitals_with_its_life(sqlite_database: Database) -> None:
    await SqlFleetStore(sqlite_database).seen(0, 1, T0, T0, HostVitals(7, "slow"))
    async with sqlite_database.read() as connection:
        stored = (await connection.execute(sa.select(supervisors.c.vitals))).scalar_one()
    assert stored == msgspec.to_builtins(HostVitals(7, "slow"))
    assert stored["invalid_requests_limit"] == 10_000


CHANGES: dict[str, dict[str, object]] = {
    "name": {"name": "renamed"},
    "application": {"application_id": "42"},
    "desired": {"desired": Desired.STOPPED},
    "restart": {"desired_epoch": 1},
    "removal": {"deleted_at": T0 + timedelta(microseconds=1)},
    "stacks": {"stacks_epoch": 1},
    "policy": {"overrides": Overrides(memory_limit_mb=128)},
    "config": {"config": BotConfig(locale="id", settings={"shop": {"rows": 5}}), "config_version": 1},
    "guild": {"guilds_version": 1},
}


@pytest.mark.parametrize("what", CHANGES)
async def test_every_change_of_what_is_wanted_is_seen(case: Case, what: str) -> None:
    bot, other = a_bot(1), a_bot(2)
    for row in (bot, other):
        await case.add(row, b"")
    before = await case.store.wanted()
    assert {row.bot.id: row.bot for row in before} == {bot.id: bot, other.id: other}
    changed = replace(bot, **CHANGES[what])  # type: ignore[arg-type]
    await case.change(changed)
    assert {row.bot.id: row.bot for row in await case.store.wanted()} == {bot.id: changed, other.id: other}
    await case.change(bot)
    assert {row.bot.id: row.bot for row in await case.store.wanted()} == {bot.id: bot, other.id: other}


async def test_what_is_wanted_follows_bots_that_come_and_go_and_answers_that_were_given(case: Case) -> None:
    assert await case.store.wanted() == []
    bot = a_bot(1)
    await case.add(bot, b"")
    assert await case.store.wanted() == await case.store.fleet()
    await case.store.record_stacks(Stacks(bot.id, 1, T0, 1, "in main", None))
    assert [row.stacks_answered for row in await case.store.wanted()] == [1]
    await case.ask_removal(bot.id, T0)
    await case.store.drop([bot.id])
    assert await case.store.wanted() == []


async def test_two_bots_that_change_places_are_seen(case: Case) -> None:
    """Counts and sums of what is wanted stay as they were."""
    one, two = a_bot(1), replace(a_bot(2), desired=Desired.STOPPED)
    for row in (one, two):
        await case.add(row, b"")
    await case.store.wanted()
    await case.change(replace(one, desired=Desired.STOPPED))
    await case.change(replace(two, desired=Desired.RUNNING))
    assert {row.bot.id: row.bot.desired for row in await case.store.wanted()} == {
        one.id: Desired.STOPPED,
        two.id: Desired.RUNNING,
    }


async def test_rows_are_not_read_again_while_only_observed_state_changes(database: Database) -> None:
    case = sql_case(database)
    bot = a_bot(1)
    await case.add(bot, b"")
    before = await case.store.wanted()
    await case.store.save([BotStatus(bot.id, State.RUNNING)], [])
    await case.store.seen(0, 1, T0, T0)
    assert await case.store.wanted() is before
