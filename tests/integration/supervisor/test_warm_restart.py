"""A restart that nobody notices: the next worker resumes the session, no event is lost, no IDENTIFY is spent."""

import os
import signal
from functools import partial
from typing import Any

import sqlalchemy as sa

from flotilla.db.tables import command_logs
from flotilla.domain.bots import BotStatus, Desired
from flotilla.domain.worker import State
from tests.stack import Stack, until


async def application(stack: Stack) -> dict[str, Any]:
    (item,) = (await stack.sandbox("GET", "/applications"))["items"]
    return dict(item)


def is_ready(generation: int, status: BotStatus) -> bool:
    return status.generation == generation and status.ready


async def use(stack: Stack, application_id: str) -> dict[str, Any]:
    return dict(await stack.sandbox("POST", f"/applications/{application_id}/interactions", command="ping"))


async def test_requested_restart_resumes_the_session(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    await stack.bots.want(bot_id, Desired.RUNNING, again=True)
    after = await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    assert after.pid != before.pid
    told = await application(stack)
    assert (told["identifies"], told["resumes"]) == (1, 1)
    assert (await use(stack, told["id"]))["status"] == "answered"


async def test_killed_worker_is_followed_by_one_that_resumes(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    os.kill(before.pid or 0, signal.SIGKILL)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    told = await application(stack)
    assert (told["identifies"], told["resumes"]) == (1, 1)


async def test_every_command_used_during_restarts_is_answered_once(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    application_id = (await application(stack))["id"]
    load = await stack.load(seconds=6)
    for generation in range(2, 12):
        await stack.bots.want(bot_id, Desired.RUNNING, again=True)
        await stack.observed(bot_id, partial(is_ready, generation), "READY again")

    sent = await stack.all_answered(load)
    told = await application(stack)
    assert (told["identifies"], told["resumes"], told["answered_twice"]) == (1, 10, 0)
    assert application_id == told["id"]

    async def logged() -> bool:
        async with stack.database.read() as connection:
            count = (await connection.execute(sa.select(sa.func.count()).select_from(command_logs))).scalar_one()
        assert count <= sent, "each is written down once"
        return bool(count == sent)

    await until(logged, "all that users did is written down, over ten restarts")


async def test_stopped_bot_ends_its_session_and_starts_cold(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    await stack.bots.want(bot_id, Desired.STOPPED)
    await stack.observed(bot_id, lambda s: s.state is State.STOPPED, "the bot is STOPPED")
    told = await application(stack)
    assert (told["sessions_connected"], told["sessions_resumable"]) == (0, 0)
    await stack.bots.want(bot_id, Desired.RUNNING)
    await stack.observed(bot_id, lambda s: s.ready, "the bot is READY again")
    assert (await application(stack))["identifies"] == 2


async def test_session_that_discord_refuses_is_followed_by_a_new_one(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    await stack.sandbox("POST", "/faults", kind="refuse_resume")
    await stack.bots.want(bot_id, Desired.RUNNING, again=True)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    told = await application(stack)
    assert (told["identifies"], told["resumes"]) == (2, 0)
    assert (await use(stack, told["id"]))["status"] == "answered"


async def test_supervisor_of_a_release_with_another_protocol_renews_workers_warm(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    await supervisor.end(signal.SIGKILL)
    release = stack.home / "later-release"
    release.mkdir()
    (release / "sitecustomize.py").write_text("from flotilla import protocol\nprotocol.VERSION = 99\n")
    await stack.start_supervisor(PYTHONPATH=str(release))
    after = await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    assert after.pid != before.pid
    told = await application(stack)
    assert (told["identifies"], told["resumes"]) == (1, 1)
