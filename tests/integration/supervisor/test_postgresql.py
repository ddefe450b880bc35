"""The supervisor, the API and the jobs together on PostgreSQL, and what they do while it is away."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from ulid import ULID

from tests.services import Postgres, running_postgres
from tests.stack import Stack, until

pytestmark = pytest.mark.postgres


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running_postgres(f"stack-{ULID()}") as server:
        yield server


@pytest.fixture
async def stack(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Stack]:
    stack = await Stack.create(tmp_path / "home", database_url=postgres.url(), poll_interval_s="0.1")
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


async def test_fleet_on_postgresql_is_started_healed_and_adopted(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    os.kill(before[first].pid or 0, signal.SIGKILL)
    await stack.observed(first, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")
    await supervisor.end(signal.SIGKILL)
    successor = await stack.start_supervisor()
    assert "adopted=2" in successor.text()
    assert (await stack.status(second)).pid == before[second].pid


async def test_bots_answer_while_postgresql_hangs_and_a_dead_one_returns_after(
    stack: Stack, postgres: Postgres
) -> None:
    first, second = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    postmaster = psutil.Process(postgres.pid)
    server = [postmaster, *postmaster.children(recursive=True)]
    applications = {app["name"]: app["id"] for app in (await stack.sandbox("GET", "/applications"))["items"]}
    for process in server:
        process.suspend()
    try:
        os.kill(before[first].pid or 0, signal.SIGKILL)
        await until(
            lambda: "after=STARTING" in supervisor.text().rpartition("worker.exited")[2], "the exit was noticed"
        )
        answer = await stack.sandbox("POST", f"/applications/{applications['bot-1']}/interactions", command="ping")
        assert answer["status"] == "answered"
    finally:
        for process in server:
            process.resume()
    await stack.observed(first, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")
    assert (await stack.status(second)).pid == before[second].pid
