"""A bot's code makes its worker tell without end: it takes its share, and nobody else loses anything by it."""

import asyncio
import os
import sys
from typing import Any

import sqlalchemy as sa

from flotilla.db.tables import happenings, session_starts
from flotilla.domain.shares import EVENTS, STARTS_ALONE
from tests.stack import Stack, until

SECRET = b"s" * 32
BEGIN = "import sys; sys.stdin.read(1); from tests.hostile.flooder import main; main()"


async def rows_of(stack: Stack, bot_id: str, code: str) -> list[dict[str, Any]]:
    query = sa.select(happenings.c.detail).where(happenings.c.bot_id == bot_id, happenings.c.code == code)
    async with stack.database.read() as connection:
        return list((await connection.execute(query)).scalars())


async def test_what_a_bot_tells_without_end_is_a_share_and_so_many_more(stack: Stack) -> None:
    flooding, honest = await stack.add_bots(2)
    flooder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BEGIN, str(stack.settings.control_socket), flooding, "1", SECRET.hex(),
        stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await stack.let_in(flooding, flooder.pid, SECRET)
        supervisor = await stack.start_supervisor()
        pid = (await stack.observed(honest, lambda status: status.ready, "the honest bot is READY")).pid
        assert flooder.stdin is not None
        flooder.stdin.write(b"!")
        flooder.stdin.close()
        [told] = await until(lambda: rows_of(stack, flooding, "and_more"), "it is told that there were more")
        assert told["more"][EVENTS.what] > 0
        await until(lambda: "control.flooded" in supervisor.text(), "it is read no faster than it may talk")
        os.kill(pid or 0, 9)
        await stack.observed(honest, lambda status: status.generation == 2 and status.ready, "another bot is healed")
        assert await rows_of(stack, flooding, "second_instance"), "what is critical is still there"
        async with stack.database.read() as connection:
            starts = (await connection.execute(sa.select(sa.func.count()).select_from(session_starts))).scalar_one()
        assert starts <= STARTS_ALONE.at_once + 10
        assert len(supervisor.output.read_bytes()) < 1_000_000
        assert supervisor.process.returncode is None
    finally:
        flooder.kill()
        await flooder.wait()
