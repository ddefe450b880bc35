"""The database refuses while the fleet runs.

Password changed, database renamed for a restore, read-only after a failover, no connection left, disk full, hung: every
program waits and goes on by itself when it is over, people are told, and a bot that was killed meanwhile is back at
once where that can be done without the database, else right after.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from ulid import ULID

from flotilla.db.availability import absences
from flotilla.db.engine import Database
from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.domain.bots import BotStatus
from supervisor.supervisor import TOLD_FROM_S
from tests.services import Postgres, Valkey, running_postgres, running_valkey
from tests.stack import Program, Stack, alive, until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(400)]
NAME = "fleet"
SLOW_S = 90.0


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running_postgres(f"refusals-{ULID()}") as server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with running_valkey(tmp_path / "v.sock") as server:
        yield server


class Administrator:
    """Does to a database what its owner would do."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres

    async def do(self, *statements: str) -> None:
        database = Database(self.postgres.url())
        try:
            async with database.engine.connect() as connection:
                autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
                for statement in statements:
                    await autocommit.execute(sa.text(statement))
        finally:
            await database.close()

    async def cut(self) -> None:
        """End the connections that there are, so that what was changed holds for all."""
        await self.do(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{NAME}'")

    def hang(self, *, on: bool) -> None:
        postmaster = psutil.Process(self.postgres.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            (process.suspend if on else process.resume)()


@pytest.fixture
async def stack(tmp_path: Path, postgres: Postgres, valkey: Valkey) -> AsyncIterator[Stack]:
    await Administrator(postgres).do(f"CREATE ROLE {NAME} LOGIN", f"CREATE DATABASE {NAME} OWNER {NAME}")
    url = postgres.url(NAME).replace("postgres@", f"{NAME}@")
    stack = await Stack.create(
        tmp_path / "home", database_url=url, redis_url=valkey.url, poll_interval_s="0.1", http_port="1"
    )
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


async def refused(by: Administrator, how: str, *, on: bool) -> None:
    match how:
        case "password changed":
            await by.do(f"ALTER ROLE {NAME} {'NOLOGIN' if on else 'LOGIN'}")
        case "renamed for a restore":
            old, new = (NAME, "aside") if on else ("aside", NAME)
            await by.do(f"ALTER DATABASE {old} ALLOW_CONNECTIONS false")
            await by.cut()
            await by.do(f"ALTER DATABASE {old} RENAME TO {new}", f"ALTER DATABASE {new} ALLOW_CONNECTIONS true")
        case "read-only after a failover":
            await by.do(f"ALTER DATABASE {NAME} SET default_transaction_read_only = {'on' if on else 'off'}")
        case "no connection left":
            await by.do(f"ALTER DATABASE {NAME} CONNECTION LIMIT {0 if on else -1}")
        case "disk full":
            await asyncio.to_thread(by.hang, on=False)
            await _disk(by, full=on)
            return
    await by.cut()


async def _disk(by: Administrator, *, full: bool) -> None:
    database = Database(by.postgres.url(NAME))
    try:
        async with database.write() as connection:
            for table in ("bot_status", "supervisors", "happenings", "bot_exits", "bot_transitions", "session_starts"):
                if not full:
                    await connection.execute(sa.text(f"DROP TRIGGER full_disk ON {table}"))
                    continue
                await connection.execute(
                    sa.text(
                        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                        "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
                    )
                )
                await connection.execute(
                    sa.text(
                        f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} "
                        "FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
                    )
                )
    finally:
        await database.close()


WAYS = ["password changed", "renamed for a restore", "read-only after a failover", "no connection left", "disk full"]


@pytest.mark.nightly
async def test_every_program_outlives_each_refusal_and_goes_on_by_itself(stack: Stack, postgres: Postgres) -> None:
    by = Administrator(postgres)
    first, second = await stack.add_bots(2)
    supervisor, jobs = await stack.start_supervisor(), await stack.start("jobs")
    untouched = (await stack.all_ready(2, SLOW_S))[second].pid
    await until(lambda: "jobs.ready" in jobs.text(), "the jobs program is ready", SLOW_S)
    for how in WAYS:
        before = await stack.status(first)
        await refused(by, how, on=True)
        try:
            await until(lambda: _away_for_s(stack) > TOLD_FROM_S, f"{how}: noticed", SLOW_S)
            os.kill(before.pid or 0, signal.SIGKILL)
            await until(
                partial(_is_back, supervisor, before.generation + 1), f"{how}: the killed bot is back meanwhile"
            )
        finally:
            await refused(by, how, on=False)
        back = await stack.observed(first, _newer_than(before), f"{how}: that is stored", SLOW_S)
        assert back.generation == before.generation + 1, "it was not started again for it"
        await until(lambda: not absences(stack.settings), f"{how}: it is over for everybody", SLOW_S)
        assert supervisor.process.returncode is None, supervisor.text()
        assert jobs.process.returncode is None, jobs.text()
    assert (await stack.status(second)).pid == untouched
    for part in ("refuses this user", "of this name", "takes no writes", "no connection left", "is full"):
        await until(partial(_told, stack, part), f"people were told: {part}")


def _is_back(supervisor: Program, generation: int) -> bool:
    moves = [line for line in supervisor.text().splitlines() if "worker.moved" in line and "bot=bot-0" in line]
    return any("ready=True" in line and f"generation={generation} " in line for line in moves)


async def test_a_bot_that_came_back_meanwhile_is_found_by_the_next_supervisor(stack: Stack, postgres: Postgres) -> None:
    by = Administrator(postgres)
    [bot_id] = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    before = (await stack.all_ready(1, SLOW_S))[bot_id]
    await refused(by, "password changed", on=True)
    try:
        os.kill(before.pid or 0, signal.SIGKILL)
        await until(partial(_is_back, supervisor, before.generation + 1), "the killed bot is back", SLOW_S)
        await supervisor.end(signal.SIGKILL)
    finally:
        await refused(by, "password changed", on=False)
    assert (await stack.status(bot_id)).pid == before.pid, "the database knows of the one before"
    successor = await stack.start_supervisor()
    assert "adopted=1" in successor.text()
    status = await stack.observed(bot_id, _newer_than(before), "it is stored", SLOW_S)
    assert status.generation == before.generation + 1
    assert alive(status.pid)


def _newer_than(before: BotStatus) -> Callable[[BotStatus], bool]:
    return lambda status: status.ready and status.generation > before.generation


def _away_for_s(stack: Stack) -> float:
    found = [absence for absence in absences(stack.settings) if absence.program == "supervisor"]
    return (datetime.now(UTC) - found[0].since).total_seconds() if found else 0.0


async def _told(stack: Stack, part: str) -> bool:
    page = await SqlHappenings(stack.database).page(HappeningFilter(code="database_away"), 50, None)
    return any(part in str(view.happening.detail["why"]) for view in page.items)
