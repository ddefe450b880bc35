"""A bot's code gets at its worker's connection, and sends the supervisor whatever it likes."""

import asyncio
import hashlib
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from flotilla.db.tables import happenings
from flotilla.domain.worker import State
from flotilla.processes import start_ticks
from tests.stack import Stack, until

SECRET = b"s" * 32
DEADLINE_S = 250.0
"""Some 2,000 lies, each in a connection of its own if it is found out."""


async def codes_of(stack: Stack, bot_id: str) -> set[str]:
    async with stack.database.read() as connection:
        query = sa.select(happenings.c.code).where(happenings.c.bot_id == bot_id)
        return set((await connection.execute(query)).scalars())


@pytest.mark.timeout(300)
async def test_no_message_of_a_bot_ends_the_supervisor_and_what_others_tell_is_stored(stack: Stack) -> None:
    liar, honest = await stack.add_bots(2)
    arguments = (str(stack.settings.control_socket), liar, "1", SECRET.hex())
    output = (stack.home / "liar.out").open("w+b")
    lies = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read(1); from tests.hostile.liar import main; main()", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
    )  # fmt: skip
    try:
        status = replace(
            await stack.status(liar),
            state=State.RUNNING,
            ready=True,
            generation=1,
            pid=lies.pid,
            process_started_at=start_ticks(lies.pid),
            secret_hash=hashlib.sha256(SECRET).digest(),
            since=datetime.now(UTC),
        )
        await stack.store.save([status], [])
        supervisor = await stack.start_supervisor()
        assert lies.stdin is not None
        lies.stdin.write(b"!")
        lies.stdin.close()

        def told() -> bool:
            assert supervisor.process.returncode is None, supervisor.text()[-3000:]
            output.seek(0)
            return b"told everything" in output.read() or lies.returncode is not None

        await until(told, "the liar has told everything", DEADLINE_S)
        output.seek(0)
        said = output.read()
        assert b"Measured" in said, said[-1000:]
        await until(lambda: "protocol_violation" in supervisor.text(), "the liar is told on")
        await stack.observed(honest, lambda status: status.ready, "the honest bot is READY")
        os.kill((await stack.status(honest)).pid or 0, 9)
        await stack.observed(
            honest, lambda status: status.generation == 2 and status.ready, "it is healed, and that is stored"
        )
        await until(lambda: codes_of(stack, liar), "what happened is stored")
        assert "protocol_violation" in await codes_of(stack, liar)
        assert supervisor.process.returncode is None
    finally:
        # It is a child of this test, and adopted.
        if lies.returncode is None:
            lies.kill()
        await lies.wait()
        output.close()
