"""Real workers under a real supervisor, on SQLite and the sandbox."""

import os
import signal
from dataclasses import replace

import psutil
import pytest

from flotilla.discord import application_id_of
from flotilla.domain.bots import Desired
from flotilla.domain.worker import State
from tests.stack import Stack, alive, until


async def test_bots_that_should_run_become_ready_and_others_do_not(stack: Stack) -> None:
    await stack.add_bots(3)
    idle = await stack.add_bot("idle", desired=Desired.STOPPED)
    await stack.start_supervisor()
    statuses = await stack.all_ready(3)
    assert statuses[idle].state is State.STOPPED
    pids = {status.pid for bot_id, status in statuses.items() if bot_id != idle}
    assert len(pids) == 3
    assert all(alive(pid) for pid in pids)


async def test_worker_answers_a_users_command(stack: Stack) -> None:
    await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    answer = await stack.sandbox("POST", f"/applications/{application['id']}/interactions", command="ping")
    assert answer["status"] == "answered"
    assert "Pong!" in str(answer["response"])


async def test_killed_worker_comes_back_by_itself(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    await stack.start_supervisor()
    before = await stack.all_ready(2)
    os.kill(before[first].pid or 0, signal.SIGKILL)
    after = await stack.observed(first, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")
    assert after.pid != before[first].pid
    assert (await stack.status(second)).pid == before[second].pid
    assert ("STARTING", False) in await stack.states_of(first)


async def test_stop_and_start_follow_what_is_wanted(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid
    await stack.bots.want(bot_id, Desired.STOPPED)
    stopped = await stack.observed(bot_id, lambda s: s.state is State.STOPPED, "the bot is STOPPED")
    assert stopped.pid is None
    assert not alive(pid)
    await stack.bots.want(bot_id, Desired.RUNNING)
    await stack.observed(bot_id, lambda s: s.ready, "the bot is READY again")


async def test_restart_brings_a_new_incarnation_that_answers_the_request(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    await stack.bots.want(bot_id, Desired.RUNNING, again=True)
    after = await stack.observed(bot_id, lambda s: s.epoch == before.epoch + 1 and s.ready, "restarted")
    assert (after.generation, after.failures) == (before.generation + 1, 0)
    await until(lambda: not alive(before.pid), "the worker before has ended")


async def test_removed_bot_is_stopped_and_forgotten(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    await stack.start_supervisor()
    pid = (await stack.all_ready(2))[first].pid
    await stack.bots.remove(first, (await stack.bots.get(first)).bot.created_at)

    async def gone() -> bool:
        return first not in await stack.statuses()

    await until(gone, "the row is gone")
    assert not alive(pid)
    assert (await stack.status(second)).ready


async def test_refused_token_ends_in_fatal_without_a_retry(stack: Stack) -> None:
    token = (await stack.sandbox("POST", "/applications", name="impostor"))["token"]
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    bot_id = await stack.add_bot("impostor", token=forged)
    await stack.start_supervisor()
    status = await stack.observed(bot_id, lambda s: s.state is State.FATAL, "the bot is FATAL")
    assert (status.reason, status.generation, status.pid) == ("token_refused", 1, None)


async def test_start_of_a_fatal_bot_tries_again(stack: Stack) -> None:
    token = (await stack.sandbox("POST", "/applications", name="impostor"))["token"]
    bot_id = await stack.add_bot("impostor", token=token[:-1] + ("A" if token[-1] != "A" else "B"))
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.state is State.FATAL, "the bot is FATAL")
    await stack.bots.want(bot_id, Desired.RUNNING)
    status = await stack.observed(bot_id, lambda s: s.state is State.FATAL and s.generation == 2, "tried again")
    assert status.reason == "token_refused"


async def test_token_reset_while_running_is_noticed_and_not_retried(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    await stack.sandbox("POST", f"/applications/{application['id']}/token-reset")
    status = await stack.observed(bot_id, lambda s: s.state is State.FATAL, "the bot is FATAL")
    assert (status.reason, status.generation) == ("token_refused", 1)


async def test_frozen_worker_is_replaced(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid or 0
    os.kill(pid, signal.SIGSTOP)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the frozen bot is replaced")
    assert not alive(pid)


async def test_worker_that_ignores_sigterm_is_killed_after_its_grace(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(FLOTILLA_LIVENESS_TIMEOUT_S="60")
    pid = (await stack.all_ready(1))[bot_id].pid or 0
    os.kill(pid, signal.SIGSTOP)
    await stack.bots.want(bot_id, Desired.STOPPED)
    await stack.observed(bot_id, lambda s: s.state is State.STOPPED, "the bot is STOPPED", 3 * 2 + 2)
    assert not alive(pid)


async def test_bots_that_cannot_reach_discord_wait_and_recover(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    sandbox = stack.programs[0]
    port = stack.sandbox_url.rpartition(":")[2]
    await sandbox.end()
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.pid is not None, "the worker is there")
    await stack.start(
        "sandbox", "--port", port, "--secret-file", str(stack.home / "sandbox.secret"), "--identify-interval-s", "0"
    )
    await stack.observed(bot_id, lambda s: s.ready, "the bot is READY once Discord is there", 60)


async def test_broken_extension_is_named_and_gives_up_after_its_failures(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(
        FLOTILLA_EXTENSIONS="tests.extensions.broken", FLOTILLA_MAX_FAILURES="2", FLOTILLA_BACKOFF_CAP_S="0.1"
    )
    status = await stack.observed(bot_id, lambda s: s.state is State.FATAL, "the bot is FATAL")
    assert (status.reason, status.generation) == ("crash_loop", 3)
    log = (stack.settings.log_dir / "bots" / "bot-0.log").read_text()
    assert "this extension is broken" in log


async def test_leaking_worker_is_killed_at_its_limit(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(
        FLOTILLA_EXTENSIONS="worker_bot.extensions.core,tests.extensions.misbehaving", FLOTILLA_MEMORY_LIMIT_MB="128"
    )
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    path = f"/applications/{application['id']}/interactions"
    await stack.sandbox("POST", path, command="hoard", options={"megabytes": 200})
    status = await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the leaking bot is replaced")
    assert status.failures == 1


async def test_blocked_event_loop_is_noticed(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(FLOTILLA_EXTENSIONS="tests.extensions.misbehaving")
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    path = f"/applications/{application['id']}/interactions"
    answer = await stack.sandbox("POST", path, command="block", wait_ms=500)
    assert answer["status"] == "timed_out"
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the blocked bot is replaced")


async def test_fork_server_is_replaced_and_the_bots_do_not_notice(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)

    def fork_servers() -> list[psutil.Process]:
        children = psutil.Process(supervisor.pid).children()
        return [child for child in children if "fork server" in " ".join(child.cmdline())]

    (fork_server,) = await until(fork_servers, "the fork server has a name")
    fork_server.kill()
    await until(lambda: supervisor.text().count("forkserver.warm") == 2, "a second fork server is warm")
    assert (await stack.statuses())[first].pid == before[first].pid
    os.kill(before[second].pid or 0, signal.SIGKILL)
    await stack.observed(second, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")


async def test_only_so_many_workers_start_at_once(stack: Stack) -> None:
    await stack.add_bots(8)
    supervisor = await stack.start_supervisor(FLOTILLA_SPAWN_CONCURRENCY="2")
    await stack.all_ready(8)
    starting = peak = 0
    for line in supervisor.text().splitlines():
        if "worker.moved" in line:
            starting += ("after=STARTING" in line) - ("before=STARTING" in line)
            peak = max(peak, starting)
    assert peak == 2


async def test_status_tells_memory_and_latency(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    status = await stack.observed(
        bot_id, lambda s: s.memory_bytes and s.latency_ms is not None, "memory and latency are measured"
    )
    assert 1_000_000 < (status.memory_bytes or 0) < 100_000_000
    assert 0 <= (status.latency_ms or 0) < 5000


@pytest.mark.parametrize("place", ["processes", "files"])
async def test_token_is_nowhere_but_in_its_worker_and_encrypted_in_the_database(stack: Stack, place: str) -> None:
    token = (await stack.sandbox("POST", "/applications", name="secretive"))["token"]
    await stack.add_bot("secretive", token=token)
    supervisor = await stack.start_supervisor(FLOTILLA_LOG_LEVEL="DEBUG")
    await stack.all_ready(1)
    needle = token.encode()
    if place == "processes":
        for process in [psutil.Process(supervisor.pid), *psutil.Process(supervisor.pid).children(recursive=True)]:
            assert token not in " ".join(process.cmdline())
            assert token not in str(process.environ())
        return
    files = [path for path in stack.home.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert needle not in path.read_bytes(), path.name


async def test_workers_do_not_inherit_our_settings(stack: Stack) -> None:
    supervisor = await stack.start_supervisor(FLOTILLA_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")

    def fork_servers() -> list[psutil.Process]:
        children = psutil.Process(supervisor.pid).children()
        return [child for child in children if "fork server" in " ".join(child.cmdline())]

    (fork_server,) = await until(fork_servers, "the fork server has a name")
    assert "hunter2" in str(psutil.Process(supervisor.pid).environ())
    assert not any(name.startswith(("FLOTILLA_", "SUPERVISOR_")) for name in fork_server.environ())


async def test_one_application_is_never_run_twice(stack: Stack) -> None:
    token = (await stack.sandbox("POST", "/applications", name="twin"))["token"]
    bot_id = await stack.add_bot("twin", token=token)
    twin = (await stack.bots.get(bot_id)).bot
    assert twin.application_id == application_id_of(token)
    with pytest.raises(Exception, match="already runs here"):
        await stack.bots.add(replace(twin, id="x" * 26, name="other"), b"x")
