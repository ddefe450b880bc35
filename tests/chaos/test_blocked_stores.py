"""While the database and Valkey hang, the users of the bots do not notice, and what they did is written down later."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from flotilla.db.command_logs import CommandLogFilter, SqlCommandLogs
from tests.chaos.conftest import locked
from tests.services import Valkey, running_valkey
from tests.stack import Stack, until

BLOCKED_S = 10.0
PER_SECOND = 20


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(tmp_path, poll_interval_s="0.1")
    try:
        await stack.start_sandbox("--initial-response-s", str(BLOCKED_S - 2))  # who waits for a store comes too late
        yield stack
    finally:
        await stack.close()


@pytest.fixture
def valkey(stack: Stack) -> Iterator[Valkey]:
    with running_valkey(stack.settings.valkey_socket) as valkey:
        yield valkey


@contextlib.contextmanager
def stopped(valkey: Valkey) -> Iterator[None]:
    """Let a server hang."""
    with valkey.client() as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_no_interaction_fails_while_database_and_valkey_are_blocked_for_ten_seconds(
    stack: Stack, valkey: Valkey
) -> None:
    await stack.add_bots(2)
    await stack.start_supervisor()
    await stack.all_ready(2)
    with locked(stack), stopped(valkey):
        load = await stack.load(users=PER_SECOND, per_second=1.0, seconds=BLOCKED_S)
        sent = await stack.all_answered(load)
    assert sent == PER_SECOND * BLOCKED_S
    logs = SqlCommandLogs(stack.database)

    async def written_down() -> bool:
        found = 0
        cursor = None
        while True:
            page = await logs.page(CommandLogFilter(), 200, cursor)
            found, cursor = found + len(page.items), page.next_cursor
            if cursor is None:
                return bool(found == sent)

    await until(written_down, "all that was done is written down")
    statuses = await stack.all_ready(2)
    assert [status.generation for status in statuses.values()] == [1, 1]
