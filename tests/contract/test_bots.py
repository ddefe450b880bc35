"""SqlBots on SQLite and PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flotilla.db.bots import BotFilter, SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.domain.bots import BotStatus, Desired, Transition
from flotilla.domain.operations import Selector
from flotilla.domain.worker import State
from flotilla.errors import ConflictError, FixInputError, NotFoundError
from tests.builders import T0, a_bot

ALL = BotFilter()


@pytest.fixture
def bots(database: Database) -> SqlBots:
    return SqlBots(database)


@pytest.fixture
def fleet(database: Database) -> SqlFleetStore:
    return SqlFleetStore(database)


async def test_added_bot_comes_back_as_it_was(bots: SqlBots) -> None:
    bot = a_bot(1, tags=("blue", "shop"), desired=Desired.STOPPED)
    await bots.add(bot, b"encrypted")
    view = await bots.get(bot.id)
    assert view.bot == bot
    assert view.status == BotStatus(bot.id)
    assert view.uptime_ratio_24h is None
    assert await bots.tokens_encrypted() == {bot.id: b"encrypted"}


async def test_unknown_bot_is_not_found_and_its_id_is_not_repeated(bots: SqlBots) -> None:
    with pytest.raises(NotFoundError) as raised:
        await bots.get("a-token-in-the-wrong-place")
    assert raised.value.code == "bot_unknown"
    assert "token" not in raised.value.message


async def test_name_is_taken_once(bots: SqlBots) -> None:
    await bots.add(a_bot(1), b"")
    with pytest.raises(ConflictError) as raised:
        await bots.add(a_bot(2, name="bot-0001"), b"")
    assert raised.value.code == "name_taken"


async def test_application_is_taken_once_and_its_bot_is_named(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    with pytest.raises(ConflictError) as raised:
        await bots.add(a_bot(2, application_id=bot.application_id), b"")
    assert raised.value.code == "token_taken"
    assert "bot-0001" in raised.value.message


@pytest.mark.parametrize("same", ["name", "application_id"])
async def test_name_and_token_of_a_bot_being_removed_are_free_only_when_it_is_gone(
    bots: SqlBots, fleet: SqlFleetStore, same: str
) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    await bots.remove(bot.id, T0)
    successor = replace(a_bot(2), **{same: getattr(bot, same)})
    with pytest.raises(ConflictError) as raised:
        await bots.add(successor, b"")
    assert raised.value.code == "still_removing"
    await fleet.drop([bot.id])
    await bots.add(successor, b"")


async def test_of_many_adding_one_name_at_once_one_wins(bots: SqlBots) -> None:
    results = await asyncio.gather(
        *(bots.add(a_bot(number, name="same"), b"") for number in range(6)), return_exceptions=True
    )
    assert results.count(None) == 1
    assert {fault.code for fault in results if isinstance(fault, ConflictError)} == {"name_taken"}


async def test_new_token_takes_the_place_of_the_one_before_and_asks_for_a_new_incarnation(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"before")
    changed = await bots.replace_token(bot.id, bot.application_id, b"after", T0)
    assert changed == replace(bot, desired_epoch=1)
    assert await bots.tokens_encrypted() == {bot.id: b"after"}


async def test_token_of_another_application_changes_nothing(bots: SqlBots, database: Database) -> None:
    bot, other = a_bot(1), a_bot(2)
    await bots.add(bot, b"before")
    await bots.add(other, b"other")
    with pytest.raises(ConflictError) as raised:
        await bots.replace_token(bot.id, other.application_id, b"other", T0)
    assert raised.value.code == "token_of_another"
    assert (await bots.get(bot.id)).bot == bot
    assert await bots.tokens_encrypted() == {bot.id: b"before", other.id: b"other"}
    assert (await SqlHappenings(database).page(HappeningFilter(), 50, None)).items == []


async def test_bot_being_removed_is_neither_listed_nor_counted_nor_changed(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    await bots.remove(bot.id, T0)
    assert (await bots.page(ALL, 50, None)).items == []
    assert (await bots.counts()).total == 0
    assert (await bots.get(bot.id)).bot.deleted_at == T0
    again = bots.replace_token(bot.id, bot.application_id, b"", T0)
    for change in (bots.remove(bot.id, T0), bots.want(bot.id, Desired.RUNNING), bots.restart(bot.id), again):
        with pytest.raises(NotFoundError):
            await change


async def test_pages_hold_every_bot_once_in_the_order_of_names(bots: SqlBots) -> None:
    for number in (5, 3, 1, 4, 2):
        await bots.add(a_bot(number), b"")
    seen, cursor = [], None
    while True:
        page = await bots.page(ALL, 2, cursor)
        seen += [view.bot.name for view in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == 2
    assert seen == [f"bot-{number:04d}" for number in (1, 2, 3, 4, 5)]


async def test_insert_and_removal_between_pages_shift_nothing(bots: SqlBots) -> None:
    rows = {number: a_bot(number) for number in (2, 4, 6, 8)}
    for bot in rows.values():
        await bots.add(bot, b"")
    first = await bots.page(ALL, 2, None)
    await bots.add(a_bot(1), b"")
    await bots.remove(rows[2].id, T0)
    second = await bots.page(ALL, 2, first.next_cursor)
    assert [view.bot.name for view in second.items] == ["bot-0006", "bot-0008"]


async def test_filters_combine(bots: SqlBots, fleet: SqlFleetStore) -> None:
    red, blue, none = a_bot(1, tags=("red",)), a_bot(2, tags=("blue", "red")), a_bot(3)
    for bot in (red, blue, none):
        await bots.add(bot, b"")
    await fleet.save([BotStatus(blue.id, State.RUNNING, ready=True)], [])

    async def names(wanted: BotFilter) -> list[str]:
        return [view.bot.name for view in (await bots.page(wanted, 50, None)).items]

    assert await names(BotFilter(name="bot-0003")) == ["bot-0003"]
    assert await names(BotFilter(tag="red")) == ["bot-0001", "bot-0002"]
    assert await names(BotFilter(tag="red", state=State.RUNNING)) == ["bot-0002"]
    assert await names(BotFilter(state=State.STOPPED)) == ["bot-0001", "bot-0003"]
    assert await names(BotFilter(name="bot-0003", tag="red")) == []


async def test_selector_takes_bots_that_match_every_part(bots: SqlBots, fleet: SqlFleetStore) -> None:
    one, two, three = a_bot(1, tags=("red",)), a_bot(2, tags=("red",)), a_bot(3)
    for bot in (one, two, three):
        await bots.add(bot, b"")
    await fleet.save([BotStatus(two.id, State.FATAL)], [])

    async def names(selector: Selector) -> list[str]:
        return [view.bot.name for view in await bots.select(selector)]

    assert await names(Selector(everything=True)) == ["bot-0001", "bot-0002", "bot-0003"]
    assert await names(Selector(ids=(three.id, one.id))) == ["bot-0001", "bot-0003"]
    assert await names(Selector(names=("bot-0002",))) == ["bot-0002"]
    assert await names(Selector(tags=("red",), states=(State.STOPPED,))) == ["bot-0001"]
    assert await names(Selector(tags=("nobody-has-this",))) == []


async def test_selector_with_a_typo_names_what_is_unknown(bots: SqlBots) -> None:
    await bots.add(a_bot(1), b"")
    with pytest.raises(NotFoundError) as raised:
        await bots.select(Selector(names=("bot-0001", "bot-001")))
    assert raised.value.code == "bots_unknown"
    assert "bot-001" in raised.value.message


async def test_long_list_of_unknown_names_is_cut(bots: SqlBots) -> None:
    with pytest.raises(NotFoundError) as raised:
        await bots.select(Selector(names=tuple(f"nobody-{number}" for number in range(30))))
    assert "nobody-9" in raised.value.message
    assert "nobody-10" not in raised.value.message


async def test_counts_are_of_the_whole_fleet(bots: SqlBots, fleet: SqlFleetStore) -> None:
    rows = [a_bot(number, desired=Desired.STOPPED if number > 2 else Desired.RUNNING) for number in range(5)]
    for bot in rows:
        await bots.add(bot, b"")
    await fleet.save(
        [
            BotStatus(rows[0].id, State.RUNNING, ready=True),
            BotStatus(rows[1].id, State.RUNNING),
            BotStatus(rows[2].id, State.FATAL),
        ],
        [],
    )
    counts = await bots.counts()
    assert counts.by_state == {State.RUNNING: 2, State.FATAL: 1, State.STOPPED: 2}
    assert (counts.total, counts.ready, counts.desired_running) == (5, 1, 3)


async def test_counts_of_an_empty_fleet_are_zero(bots: SqlBots) -> None:
    counts = await bots.counts()
    assert (counts.by_state, counts.total, counts.ready, counts.desired_running) == ({}, 0, 0, 0)


async def test_wanting_running_again_asks_for_nothing_new(bots: SqlBots) -> None:
    bot = a_bot(1, desired=Desired.STOPPED)
    await bots.add(bot, b"")
    for _ in range(2):
        await bots.want(bot.id, Desired.RUNNING)
    assert (await bots.get(bot.id)).bot == replace(bot, desired=Desired.RUNNING)


@pytest.mark.parametrize("state", [State.FATAL, State.BACKOFF])
async def test_start_of_a_bot_that_gave_up_is_a_new_try(bots: SqlBots, fleet: SqlFleetStore, state: State) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    await fleet.save([BotStatus(bot.id, state)], [])
    await bots.want(bot.id, Desired.RUNNING)
    assert (await bots.get(bot.id)).bot.desired_epoch == 1
    await bots.want(bot.id, Desired.STOPPED)
    assert (await bots.get(bot.id)).bot.desired_epoch == 1


async def test_restart_asks_for_a_new_incarnation(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    await bots.restart(bot.id)
    await bots.want(bot.id, Desired.RUNNING, again=True)
    assert (await bots.get(bot.id)).bot.desired_epoch == 2


async def test_restart_of_a_stopped_bot_is_refused_and_changes_nothing(bots: SqlBots) -> None:
    bot = a_bot(1, desired=Desired.STOPPED)
    await bots.add(bot, b"")
    with pytest.raises(ConflictError) as raised:
        await bots.restart(bot.id)
    assert raised.value.code == "bot_stopped"
    assert (await bots.get(bot.id)).bot == bot


async def test_change_of_an_unknown_bot_is_not_found(bots: SqlBots) -> None:
    for change in (bots.restart("x"), bots.want("x", Desired.STOPPED), bots.remove("x", T0)):
        with pytest.raises(NotFoundError):
            await change


async def test_uptime_counts_from_the_last_transition_before_the_window(bots: SqlBots, fleet: SqlFleetStore) -> None:
    bot, other = a_bot(1), a_bot(2)
    for row in (bot, other):
        await bots.add(row, b"")
    now = datetime.now(UTC)
    history = [
        Transition(bot.id, now - timedelta(hours=60), State.BACKOFF, ready=False, generation=1, reason="crashed"),
        Transition(bot.id, now - timedelta(hours=48), State.RUNNING, ready=True, generation=2, reason=None),
        Transition(bot.id, now - timedelta(hours=6), State.BACKOFF, ready=False, generation=2, reason="crashed"),
    ]
    await fleet.save([BotStatus(bot.id, State.BACKOFF)], history)
    views = {view.bot.id: view for view in (await bots.page(ALL, 50, None)).items}
    assert views[bot.id].uptime_ratio_24h == pytest.approx(0.75, abs=1e-3)
    assert views[other.id].uptime_ratio_24h is None


async def test_tokens_are_replaced_all_or_none(bots: SqlBots) -> None:
    one, two = a_bot(1), a_bot(2)
    for bot in (one, two):
        await bots.add(bot, b"old")
    await bots.replace_tokens_encrypted({one.id: b"new", two.id: b"new"})
    assert await bots.tokens_encrypted() == {one.id: b"new", two.id: b"new"}


HOSTILE_CURSORS = [
    "",
    "x",
    ">",
    "<",
    "<s:bot-0001",
    ">s:a~s:b",
    ">i:5",
    ">f:1.5",
    ">f:nan",
    ">x",
    ">true",
    ">b:AAAA",
    ">b:%",
    ">dt:2026-01-01",
    ">dt:never",
    ">uuid:1",
    ">n:1e999999",
    ">zz:1",
    ">s:\x00",
    ">s:\ud800",
    ">s:a\\",
    ">\n",
    ">s:" + "a" * 600,
    "0",
]


@pytest.mark.parametrize("cursor", HOSTILE_CURSORS)
async def test_cursor_of_another_make_is_refused(bots: SqlBots, cursor: str) -> None:
    await bots.add(a_bot(1), b"")
    with pytest.raises(FixInputError) as raised:
        await bots.page(ALL, 50, cursor)
    assert raised.value.code == "cursor_invalid"


async def test_cursor_is_only_a_place_and_any_name_is_one(bots: SqlBots) -> None:
    await bots.add(a_bot(1), b"")
    assert (await bots.page(ALL, 50, ">s:zzz'; DROP TABLE bots; --")).items == []


async def test_overrides_are_merged_and_taken_back(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    await bots.override(bot.id, {"memory_limit_mb": 128, "max_failures": 3})
    after = await bots.override(bot.id, {"memory_limit_mb": None, "restart_policy": "never"})
    assert after.overrides.given() == {"max_failures": 3, "restart_policy": "never"}
    assert (await bots.get(bot.id)).bot.overrides == after.overrides


async def test_a_wrong_override_changes_nothing(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    await bots.override(bot.id, {"max_failures": 3})
    with pytest.raises(FixInputError, match="memory_limit_mb"):
        await bots.override(bot.id, {"max_failures": 4, "memory_limit_mb": 1})
    assert (await bots.get(bot.id)).bot.overrides.given() == {"max_failures": 3}
    with pytest.raises(NotFoundError):
        await bots.override("unknown", {"max_failures": 4})


async def test_overrides_made_at_once_are_all_kept(bots: SqlBots) -> None:
    bot = a_bot(1)
    await bots.add(bot, b"")
    changes = [{"max_failures": 3}, {"memory_limit_mb": 100}, {"stop_grace_s": 2}, {"intensity": 9}]
    await asyncio.gather(*(bots.override(bot.id, change) for change in changes))
    assert (await bots.get(bot.id)).bot.overrides.given() == {
        "max_failures": 3,
        "memory_limit_mb": 100,
        "stop_grace_s": 2.0,
        "intensity": 9,
    }
