"""A bot ends itself, or something ends it.

A clean end, in whatever place of its code, is known as one, so a restart policy can go by it; a signal is named for
what it is. What nobody could see is said to be unknown.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flotilla.db.diagnosis import SqlDiagnosis
from flotilla.domain.config import BotConfig
from flotilla.domain.diagnosis import Exit
from flotilla.domain.policy import Overrides, RestartPolicy
from flotilla.domain.worker import State
from tests.stack import Stack, alive, until
from worker_bot.life import exit_code_of

EXTENSION = "tests.extensions.ending"
ON_FAILURE = Overrides(restart_policy=RestartPolicy.ON_FAILURE)
APPS = {
    "imported": "import sys\nsys.exit(0)\n",
    "made": "import sys\ndef create_bot():\n    sys.exit()\n",
    "starting": """
import sys, hikari
def create_bot():
    bot = hikari.GatewayBot("x")
    @bot.listen(hikari.StartingEvent)
    async def end(_):
        sys.exit(0)
    return bot
""",
    "closing": """
import hikari
def create_bot():
    bot = hikari.GatewayBot("x")
    @bot.listen(hikari.StartingEvent)
    async def end(_):
        await bot.close()
    return bot
""",
    "started": """
import sys, hikari
def create_bot():
    bot = hikari.GatewayBot("x")
    @bot.listen(hikari.StartedEvent)
    async def end(_):
        sys.exit()
    return bot
""",
    "closed": """
import hikari
def create_bot():
    bot = hikari.GatewayBot("x")
    @bot.listen(hikari.StartedEvent)
    async def end(_):
        await bot.close()
    return bot
""",
}
FAULTS = {
    signal.SIGABRT: "aborted",
    signal.SIGSEGV: "segfault",
    signal.SIGBUS: "bus_error",
    signal.SIGILL: "illegal_instruction",
    signal.SIGFPE: "arithmetic_fault",
    signal.SIGKILL: "killed",
    signal.SIGTERM: "killed",
}


async def use(stack: Stack, bot: str, command: str, **options: object) -> Any:
    """Let a user run a command of a bot."""
    items = (await stack.sandbox("GET", "/applications"))["items"]
    own = next(item["id"] for item in items if item["name"] == bot)
    path = f"/applications/{own}/interactions"
    return await stack.sandbox("POST", path, command=command, options=options, wait_ms=1000)


async def end_of(stack: Stack, bot_id: str, generation: int = 1) -> Exit:
    async def check() -> Exit | None:
        rows = (await SqlDiagnosis(stack.database).exits(bot_id, 5, None)).items
        return next((row for row in rows if row.generation == generation), None)

    found: Exit = await until(check, f"the exit of generation {generation} is stored")
    return found


async def test_a_bot_that_ends_itself_cleanly_is_left_so_by_the_policy_on_failure(stack: Stack, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    stack.environment |= {"FLOTILLA_EXTENSIONS_PATH": str(code), "FLOTILLA_PRELOAD_TIMEOUT_S": "8"}
    own = BotConfig(extensions=(EXTENSION,))
    ways: dict[str, tuple[str, dict[str, object]]] = {
        "by-close": ("close", {}),
        "by-exit": ("exit", {"code": 0}),
        "by-leave": ("leave", {"code": 0}),
    }
    ids = {name: await stack.add_bot(name, config=own, overrides=ON_FAILURE) for name in ways}
    await stack.start_supervisor()
    await stack.all_ready(len(ways))
    for name, (command, options) in ways.items():
        await use(stack, name, command, **options)
    for name, source in APPS.items():
        (code / f"{name}.py").write_text(source)
        config = BotConfig(app=f"{name}:create_bot")
        ids[name] = await stack.add_bot(name, config=config, overrides=ON_FAILURE)
    for name, bot_id in ids.items():
        status = await stack.observed(bot_id, lambda s: s.state is State.FATAL, f"{name} is not restarted")
        assert (status.reason, status.generation) == ("restart_policy", 1), name
        end = await end_of(stack, bot_id)
        assert (end.exit_code, end.reason) == (0, "exited"), (name, end)


@pytest.mark.nightly
async def test_each_restart_policy_answers_a_clean_end_and_a_failure_as_it_says(stack: Stack) -> None:
    own, ids = BotConfig(extensions=(EXTENSION,)), {}
    for policy in RestartPolicy:
        for way in ("close", "exit"):
            name = f"{policy}-{way}"
            ids[policy, way] = await stack.add_bot(name, config=own, overrides=Overrides(restart_policy=policy))
    await stack.start_supervisor()
    await stack.all_ready(len(ids))
    for policy, way in ids:
        await use(stack, f"{policy}-{way}", way, **({"code": 3} if way == "exit" else {}))
    for (policy, way), bot_id in ids.items():
        stays = policy is RestartPolicy.NEVER or (policy is RestartPolicy.ON_FAILURE and way == "close")
        if stays:
            status = await stack.observed(bot_id, lambda s: s.state is State.FATAL, f"{policy} leaves {way} so")
            assert (status.reason, status.generation) == ("restart_policy", 1)
        else:
            await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, f"{policy} restarts after {way}")
        end = await end_of(stack, bot_id)
        assert (end.exit_code, end.reason) == ((0, "exited") if way == "close" else (3, "crashed"))


async def test_a_worker_of_a_fork_server_that_is_gone_says_itself_how_it_ends(stack: Stack) -> None:
    own = BotConfig(extensions=(EXTENSION,))
    names = ("closes", "exits", "fails", "vanishes")
    ids = {name: await stack.add_bot(name, config=own, overrides=ON_FAILURE) for name in names}
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(len(names))
    await supervisor.end(signal.SIGKILL)
    second = await stack.start_supervisor()
    await until(lambda: "supervisor.adoption_complete" in second.text(), "the workers are back")
    await use(stack, "closes", "close")
    await use(stack, "exits", "exit", code=0)
    await use(stack, "fails", "exit", code=3)
    os.kill(before[ids["vanishes"]].pid or 0, signal.SIGKILL)
    for name in ("closes", "exits"):
        await stack.observed(ids[name], lambda s: s.reason == "restart_policy", f"{name} is not restarted")
        assert (await end_of(stack, ids[name])).reason == "exited"
    for name, reason in (("fails", "crashed"), ("vanishes", "unseen")):
        await stack.observed(ids[name], lambda s: s.generation == 2 and s.ready, f"{name} is restarted")
        end = await end_of(stack, ids[name])
        assert (end.exit_code, end.reason) == (None, reason)


async def test_a_signal_is_named_for_what_it_is_and_never_taken_for_want_of_memory(stack: Stack) -> None:
    own = BotConfig(extensions=(EXTENSION,))
    ids = {number: await stack.add_bot(number.name.lower(), config=own, overrides=ON_FAILURE) for number in FAULTS}
    await stack.start_supervisor()
    await stack.all_ready(len(ids))
    for number in FAULTS:
        await use(stack, number.name.lower(), "fault", number=int(number))
    for number, reason in FAULTS.items():
        await stack.observed(ids[number], lambda s: s.generation == 2 and s.ready, f"{number.name} is a failure")
        end = await end_of(stack, ids[number])
        # A worker ends in order when it gets SIGTERM, whoever sent it.
        assert (end.exit_code, end.reason) == (0 if number is signal.SIGTERM else -number, reason)


async def test_what_fails_beside_a_bot_ends_it_as_what_it_is_and_not_as_a_blocked_loop_or_discord(stack: Stack) -> None:
    own = BotConfig(extensions=("tests.extensions.heartless",))
    ids = {name: await stack.add_bot(name, config=own) for name in ("heart", "session")}
    supervisor = await stack.start_supervisor()
    await stack.all_ready(len(ids))
    for name, bot_id in ids.items():
        await use(stack, name, name)
        assert (await end_of(stack, bot_id)).reason == "crashed"
        await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, f"{name} is restarted")
    told = supervisor.text()
    for what in ("the heartbeat failed: OSError", "the keeping of the session failed: OSError"):
        assert what in told


async def test_a_bot_that_was_asked_to_stop_ends_as_it_always_did(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    pid = (await stack.all_ready(1))[bot_id].pid
    await supervisor.end(signal.SIGINT)
    assert not alive(pid)
    assert "worker.failing" not in supervisor.text()
    end = await end_of(stack, bot_id)
    assert (end.exit_code, end.reason) == (0, None)


@pytest.mark.parametrize("code", [None, 0, 3, 256 + 7, "a sentence"])
def test_an_exit_code_is_what_python_makes_of_it(code: object) -> None:
    """In a process of its own, so that Python itself is the judge."""
    judged = subprocess.run([sys.executable, "-c", f"import sys; sys.exit({code!r})"], check=False, capture_output=True)
    assert exit_code_of(SystemExit(code)) == judged.returncode
