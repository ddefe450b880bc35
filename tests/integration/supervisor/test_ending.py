"""A supervisor ends in time whatever its database does, and what is left is stored, once."""

import asyncio
import re
import signal
import time
from collections import Counter

import sqlalchemy as sa

from flotilla.db.tables import session_starts
from flotilla.domain.worker import State
from tests.chaos.conftest import locked
from tests.stack import Stack, alive, until

KILLED_BY_SUPERVISORD_S = 8.0
"""`stopwaitsecs` in supervisord.conf."""


async def test_a_supervisor_whose_database_hangs_ends_with_its_bots_before_supervisord_kills_it(stack: Stack) -> None:
    await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    pids = [status.pid for status in (await stack.all_ready(2)).values()]
    with locked(stack):
        began = time.monotonic()
        assert await supervisor.end(signal.SIGINT, 60) == 0
        took_s = time.monotonic() - began
    assert not any(alive(pid) for pid in pids)
    assert "storing.left" in supervisor.text(), "what is lost is said"
    assert took_s < KILLED_BY_SUPERVISORD_S, supervisor.text()[-2000:]


async def test_what_waits_for_the_database_when_the_supervisor_ends_is_stored_once_it_moves(stack: Stack) -> None:
    await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(2)
    with locked(stack):
        await stack.sandbox("POST", "/faults", kind="invalid_session", resumable=False)
        waiting = [re.compile(rf"sessions\.unstored .*bot-{number}\b") for number in range(2)]
        await until(
            lambda: all(each.search(supervisor.text()) for each in waiting), "session starts wait for their record"
        )
        ending = asyncio.create_task(supervisor.end(signal.SIGINT, 60))
        await until(lambda: "supervisor.bots_stopped" in supervisor.text(), "it ends")
    assert await ending == 0
    async with stack.database.read() as connection:
        recorded = Counter((await connection.execute(sa.select(session_starts.c.application_id))).scalars())
    assert sorted(recorded.values()) == [2, 2], "the first session of each, and the one that was asked for"
    assert {status.state for status in (await stack.statuses()).values()} == {State.STOPPED}
    assert "what=['metrics']" in supervisor.text(), "nothing else is left, and Valkey is not there"
