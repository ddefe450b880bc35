"""A bot's code gets at its worker's connection, and sends the supervisor whatever it likes."""

import asyncio
import os
import sys

import pytest
import sqlalchemy as sa

from flotilla.db.tables import happenings
from tests.stack import Stack, until

SECRET = b"s" * 32
LIARS = 6
"""Each is read no faster than a worker may talk, so they tell their lies beside one another."""

BEGIN = "import sys; sys.stdin.read(1); from tests.hostile.liar import main; main()"
DEADLINE_S = 250.0
"""Some 2,000 lies, each in a connection of its own if it is found out."""


async def codes_of(stack: Stack, bot_id: str) -> set[str]:
    async with stack.database.read() as connection:
        query = sa.select(happenings.c.code).where(happenings.c.bot_id == bot_id)
        return set((await connection.execute(query)).scalars())


@pytest.mark.timeout(300)
async def test_no_message_of_a_bot_ends_the_supervisor_and_what_others_tell_is_stored(stack: Stack) -> None:
    *liars, honest = await stack.add_bots(LIARS + 1)
    processes: list[asyncio.subprocess.Process] = []
    said = [stack.home / f"liar-{which}.out" for which in range(LIARS)]
    try:
        for which, liar in enumerate(liars):
            arguments = (str(stack.settings.control_socket), liar, "1", SECRET.hex(), str(which), str(LIARS))
            with said[which].open("wb") as file:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", BEGIN, *arguments, stdin=asyncio.subprocess.PIPE, stdout=file, stderr=file
                )
            processes.append(process)
            await stack.let_in(liar, process.pid, SECRET)
        supervisor = await stack.start_supervisor()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"!")
            process.stdin.close()

        def told() -> bool:
            assert supervisor.process.returncode is None, supervisor.text()[-3000:]
            over = [b"told everything" in output.read_bytes() for output in said]
            return all(done or process.returncode is not None for done, process in zip(over, processes, strict=True))

        await until(told, "the liars have told everything", DEADLINE_S)
        for output in said:
            assert b"Measured" in output.read_bytes(), output.read_bytes()[-1000:]
        await until(lambda: "protocol_violation" in supervisor.text(), "the liars are told on")
        await stack.observed(honest, lambda status: status.ready, "the honest bot is READY")
        os.kill((await stack.status(honest)).pid or 0, 9)
        await stack.observed(
            honest, lambda status: status.generation == 2 and status.ready, "it is healed, and that is stored"
        )
        for liar in liars:
            await until(lambda liar=liar: codes_of(stack, liar), "what happened is stored")
            assert "protocol_violation" in await codes_of(stack, liar)
        assert supervisor.process.returncode is None
    finally:
        for process in processes:  # they are children of this test, and adopted
            if process.returncode is None:
                process.kill()
            await process.wait()
