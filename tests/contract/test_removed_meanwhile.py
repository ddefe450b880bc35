"""A bot, or a webhook, is removed while rows that belong to it are stored: those are passed over, others are stored.

The removal is under way when the rows come, and done before they are in: on PostgreSQL a look alone would still see
what is going.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db import tables
from flotilla.db.bots import SqlBots
from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.configs import SqlConfigs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.webhooks import SqlWebhooks
from flotilla.domain.bots import BotStatus, Transition
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.config_record import NO_OUTCOME
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.domain.happenings import Happening
from flotilla.domain.heap import Heap
from flotilla.domain.rollover_record import Phase, RolloverRequest, RolloverStatus
from flotilla.domain.webhooks import Webhook
from flotilla.domain.worker import State
from flotilla.errors import NotFoundError
from tests.builders import T0, a_bot
from tests.contract.conftest import opened

GOING, STAYS = a_bot(1), a_bot(2)
BOTH_IDS = (GOING.id, STAYS.id)
SEEN_S = 30.0
Store = Callable[[Database], Awaitable[object]]


def a_happening(bot_id: str) -> Happening:
    return Happening(str(ULID()), bot_id, T0, "deaf", {})


def a_log() -> CommandLog:
    return CommandLog(str(ULID()), T0.timestamp(), Kind.COMMAND, "ping", Outcome.ANSWERED, 1, 2)


async def save(database: Database) -> None:
    changes = [Transition(bot_id, T0, State.RUNNING, ready=True, generation=1, reason=None) for bot_id in BOTH_IDS]
    await SqlFleetStore(database).save([BotStatus(bot_id) for bot_id in BOTH_IDS], changes)


async def record_exits(database: Database) -> None:
    rows = [Exit(str(ULID()), bot_id, T0, 1, -9, "killed", "") for bot_id in BOTH_IDS]
    await SqlFleetStore(database).record_exits(rows)


async def record_stacks(database: Database) -> None:
    for bot_id in BOTH_IDS:
        await SqlFleetStore(database).record_stacks(Stacks(bot_id, 1, T0, 1, "", None))


async def record_heaps(database: Database) -> None:
    for bot_id in BOTH_IDS:
        await SqlFleetStore(database).record_heap(Heap(bot_id, 1, T0, 1, None))


async def record_happenings(database: Database) -> None:
    await SqlFleetStore(database).record_happenings([a_happening(bot_id) for bot_id in BOTH_IDS])


async def record_command_logs(database: Database) -> None:
    await SqlCommandLogs(database).record_command_logs([(bot_id, a_log()) for bot_id in BOTH_IDS])


async def record_outcomes(database: Database) -> None:
    await SqlConfigs(database).record_outcomes(dict.fromkeys(BOTH_IDS, NO_OUTCOME), T0)


async def change_configs(database: Database) -> None:
    await SqlConfigs(database).change(STAYS.id, {"locale": "id"}, "me")
    with pytest.raises(NotFoundError):
        await SqlConfigs(database).change(GOING.id, {"locale": "id"}, "me")


async def change_guilds(database: Database) -> None:
    await SqlConfigs(database).change_guild(STAYS.id, "1" * 18, {"locale": "id"})
    with pytest.raises(NotFoundError):
        await SqlConfigs(database).change_guild(GOING.id, "1" * 18, {"locale": "id"})


STORES: dict[str, tuple[Store, sa.Table]] = {
    "status": (save, tables.bot_status),
    "transitions": (save, tables.bot_transitions),
    "exits": (record_exits, tables.bot_exits),
    "stacks": (record_stacks, tables.bot_stacks),
    "heaps": (record_heaps, tables.bot_heaps),
    "happenings": (record_happenings, tables.happenings),
    "command logs": (record_command_logs, tables.command_logs),
    "config outcomes": (record_outcomes, tables.config_outcomes),
    "configs": (change_configs, tables.bot_configs),
    "guild configs": (change_guilds, tables.guild_configs),
}


async def removing_meanwhile(database: Database, url: str, removal: sa.Delete, store: Store) -> None:
    """Let `store` come while a removal is not committed yet, and commit that once it is waited for."""
    async with opened(url) as other:
        async with other.write() as connection:
            assert (await connection.execute(removal)).rowcount == 1
            storing: asyncio.Task[Any] = asyncio.ensure_future(store(database))
            deadline = asyncio.get_running_loop().time() + SEEN_S
            while not storing.done() and not await _is_waited_for(other):
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.02)
        await asyncio.wait_for(storing, SEEN_S)


async def _is_waited_for(database: Database) -> bool:
    if database.engine.dialect.name == "sqlite":
        return True  # there is one writer at a time, and it is the other one
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with database.read() as connection:
        return bool((await connection.execute(query)).scalar_one())


async def test_a_bot_that_is_removed_while_its_rows_are_stored_is_passed_over(
    database: Database, database_url: str
) -> None:
    bots = SqlBots(database)
    await bots.add(STAYS, b"")
    for what, (store, table) in STORES.items():
        await bots.add(GOING, b"")
        removal = tables.bots.delete().where(tables.bots.c.id == GOING.id)
        await removing_meanwhile(database, database_url, removal, store)
        async with database.read() as connection:
            found = set((await connection.execute(sa.select(table.c.bot_id))).scalars())
        assert found == {STAYS.id}, what


async def test_a_webhook_that_is_removed_while_something_happens_is_passed_over(
    database: Database, database_url: str
) -> None:
    await SqlBots(database).add(STAYS, b"")
    hooks = [Webhook(str(ULID()), "http://receiver", T0 - timedelta(days=1)) for _ in range(2)]
    for hook in hooks:
        await SqlWebhooks(database).add(hook, b"")
    going, stays = hooks

    async def record(database: Database) -> None:
        await SqlFleetStore(database).record_happenings([a_happening(STAYS.id)])

    table = tables.webhooks
    await removing_meanwhile(database, database_url, table.delete().where(table.c.id == going.id), record)
    async with database.read() as connection:
        delivered = set((await connection.execute(sa.select(tables.webhook_deliveries.c.webhook_id))).scalars())
        happened = (await connection.execute(sa.select(tables.happenings.c.bot_id))).scalars().all()
    assert (delivered, happened) == ({stays.id}, [STAYS.id])


async def test_a_rollover_that_is_removed_while_it_is_stored_is_passed_over(
    database: Database, database_url: str
) -> None:
    await SqlRollovers(database).request(RolloverRequest("1", "me", T0))
    table = tables.rollovers
    await removing_meanwhile(
        database,
        database_url,
        table.delete().where(table.c.id == "1"),
        lambda database: SqlRollovers(database).save(RolloverStatus("1", Phase.DONE)),
    )
    async with database.read() as connection:
        assert (await connection.execute(sa.select(tables.rollover_status))).all() == []
