"""Folders and sockets go while it runs, or have no room left.

What is gone is made where it is used; a bot whose log or session cannot be kept runs without, and says so; and nothing
of it is counted against a bot.
"""

import os
import shutil
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from flotilla.db.tables import bot_transitions
from flotilla.domain.worker import State
from tests.refusals import SETRESUID, give_inodes, refuse_calls, without_inodes
from tests.stack import Stack, until
from tests.surroundings.happened import told, until_told

USERS = ["auto", "shared"] if os.geteuid() == 0 else ["auto"]
"""As root, bots are users of their own or walled in as root; otherwise there is but one way."""


async def restart(stack: Stack, *bot_ids: str) -> None:
    """Kill the workers, and wait until the next ones are READY."""
    before = await stack.statuses()
    for bot_id in bot_ids:
        kill(before[bot_id].pid)
    for bot_id in bot_ids:
        generation = before[bot_id].generation
        await stack.observed(bot_id, lambda s: s.generation > generation and s.ready, "the next one is READY")  # noqa: B023


def kill(pid: int | None) -> None:
    os.kill(pid or 0, signal.SIGKILL)


async def test_each_next_start_makes_the_folders_that_somebody_removed(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    settings = stack.settings
    for folder in (settings.log_dir / "bots", settings.session_dir, settings.session_file(bot_id).parent):
        shutil.rmtree(folder)
        await restart(stack, bot_id)
        assert (settings.log_dir / "bots" / "bot-0.log").exists()
        assert settings.session_file(bot_id).parent.is_dir()
    assert {reason for reason in await reasons(stack, bot_id) if reason} == {"killed"}


async def test_workers_and_the_next_supervisor_meet_though_everything_in_run_was_removed(stack: Stack) -> None:
    one, _ = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    for entry in (stack.home / "run").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    await until_told(stack, "place_lost", place="run/workers/control.sock", made_anew=True)
    await until((stack.home / "run" / "supervisor.pid").exists, "the lock is there again")
    await restart(stack, one)
    await supervisor.end(signal.SIGKILL)
    second = await stack.start_supervisor()
    await until(lambda: "supervisor.adoption_complete" in second.text(), "the workers find the next supervisor")
    after = await stack.all_ready(2)
    assert [status.generation for status in sorted(after.values(), key=lambda s: s.generation)] == [1, 2]
    assert {status.pid for status in before.values()} & {status.pid for status in after.values()}


@pytest.mark.parametrize("users", USERS)
async def test_a_session_file_that_was_removed_is_made_anew_so_that_the_next_restart_is_warm(
    stack: Stack, users: str
) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor(FLOTILLA_BOT_USERS=users)
    await stack.all_ready(1)
    file = stack.settings.session_file(bot_id)
    shutil.rmtree(file.parent)
    await until(file.exists, "the worker keeps its session again")
    await restart(stack, bot_id)
    assert "resumed=True" in supervisor.text()


@pytest.mark.nightly
async def test_bots_start_without_log_and_session_where_there_is_no_inode_left(stack: Stack) -> None:
    settings = stack.settings
    (bot_id,) = await stack.add_bots(1)
    full = (settings.log_dir / "bots", settings.session_dir)
    stack.before_exec = without_inodes(*full)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    for what in ("log", "session"):
        assert (await until_told(stack, "runs_without", what=what))["remedy"]
    await restart(stack, bot_id)
    status = await stack.status(bot_id)
    assert (status.state, status.failures) == (State.RUNNING, 1), "only that it was killed is counted"
    give_inodes(supervisor.pid, *full)
    await restart(stack, bot_id)
    assert (full[0] / "bot-0.log").exists()


async def test_a_start_that_the_host_does_not_allow_is_tried_until_it_does_and_told_once(stack: Stack) -> None:
    """Here the home has no room for the file that says which user each bot has."""
    (bot_id,) = await stack.add_bots(1)
    uids = Path(stack.settings.uid_file)
    obstacle = uids.with_name(uids.name + ".new")
    obstacle.mkdir()
    stack.home.chmod(0o755)
    await stack.start_supervisor(FLOTILLA_BOT_UID_BASE="700000", FLOTILLA_MAX_FAILURES="1")
    await until_told(stack, "spawns_fail")
    waiting = await stack.observed(bot_id, lambda s: s.generation > 2, "it is tried again and again")
    assert (waiting.reason, waiting.failures) == ("spawn_failed", 0)
    obstacle.rmdir()
    await until_told(stack, "spawns_work", 60)
    assert len(await told(stack, "spawns_fail")) == 1
    await stack.observed(bot_id, lambda s: s.ready, "it runs")


@pytest.mark.skipif(os.geteuid() != 0 or SETRESUID is None, reason="only root gives its bots users of their own")
async def test_a_child_that_the_host_does_not_let_become_a_worker_is_not_a_bot_that_crashes(stack: Stack) -> None:
    stack.home.chmod(0o755)
    stack.before_exec = refuse_calls(SETRESUID or 0)
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(FLOTILLA_BOT_UID_BASE="700000", FLOTILLA_MAX_FAILURES="1")
    await until_told(stack, "spawns_fail")
    waiting = await stack.observed(bot_id, lambda s: s.generation > 2, "it is tried again and again")
    assert waiting.failures == 0
    assert await reasons(stack, bot_id) - {None} == {"spawn_failed"}
    assert len(await told(stack, "spawns_fail")) == 1


async def reasons(stack: Stack, bot_id: str) -> set[str | None]:
    query = sa.select(bot_transitions.c.reason).where(bot_transitions.c.bot_id == bot_id)
    async with stack.database.read() as connection:
        return set((await connection.execute(query)).scalars())
