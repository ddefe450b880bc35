"""Something that nobody expected happens over one bot.

Its record is damaged, or what is done for it fails: that keeps to this bot. The others are adopted, served and
supervised; this one's process is left alone, which one it is and why is told, and it is tried again.
"""

import asyncio
import os
import signal
import subprocess
import sys

import sqlalchemy as sa

from flotilla.db.tables import bot_status, happenings
from tests.stack import Stack, alive, until


async def damage(stack: Stack, bot_id: str, failed_at: list[object]) -> None:
    async with stack.database.write() as connection:
        await connection.execute(bot_status.update().where(bot_status.c.bot_id == bot_id).values(failed_at=failed_at))


async def test_a_bot_that_cannot_be_adopted_is_set_aside_and_all_others_are_supervised(stack: Stack) -> None:
    damaged, other = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    await supervisor.end(signal.SIGKILL)
    await damage(stack, damaged, ["yesterday"])
    successor = await stack.start_supervisor()
    await until(lambda: successor.text().count("bot.set_aside") >= 2, "it is told and tried again")
    os.kill(before[other].pid or 0, signal.SIGKILL)
    await stack.observed(other, lambda status: status.generation == 2 and status.ready, "the other is READY again")
    assert alive(before[damaged].pid), "its worker may live, so it is neither ended nor started twice"
    status = await stack.observed(damaged, lambda status: status.vitals.set_aside, "it is shown")
    assert "adoption" in (status.vitals.set_aside or "")
    assert (status.pid, status.generation) == (before[damaged].pid, 1)

    async def told() -> bool:
        async with stack.database.read() as connection:
            rows = await connection.execute(sa.select(happenings).where(happenings.c.code == "set_aside"))
            return [row.bot_id for row in rows][:1] == [damaged]

    await until(told, "it is a happening")
    doctor = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "flotilla", "doctor"],
        env=os.environ | stack.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "bot-0: adoption" in doctor.stdout, doctor.stdout + doctor.stderr
    await successor.end(signal.SIGKILL)
    await damage(stack, damaged, [])
    await stack.start_supervisor()
    mended = await stack.observed(damaged, lambda status: not status.vitals.set_aside and status.ready, "it is back")
    assert (mended.pid, mended.generation) == (before[damaged].pid, 1)
