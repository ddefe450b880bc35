"""What operators find out about real workers: where they hang, how they ended, and what is left of their logs."""

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from flotilla.botlog import log_file, parts
from flotilla.db.diagnosis import SqlDiagnosis
from flotilla.domain.diagnosis import Exit, Stacks
from tests.builders import token_of
from tests.stack import Program, Stack, alive, until

MIB = 1024 * 1024
EXTENSIONS = "worker_bot.extensions.core,tests.extensions.misbehaving"


async def running(stack: Stack, **environment: str) -> tuple[str, Program]:
    """Start a supervisor with one misbehaving bot; return the bot's id, READY."""
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS, **environment)
    await stack.all_ready(1)
    return bot_id, supervisor


async def command(stack: Stack, name: str, *, wait_ms: int = 5000, **options: object) -> Any:
    """Let a user run a command of the bot."""
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    path = f"/applications/{application['id']}/interactions"
    return await stack.sandbox("POST", path, command=name, options=options, wait_ms=wait_ms)


def log_of(stack: Stack) -> Path:
    return log_file(stack.settings.log_dir, "bot-0")


async def last_exit(stack: Stack, bot_id: str, generation: int) -> Exit:
    async def check() -> Exit | None:
        exits = (await SqlDiagnosis(stack.database).exits(bot_id, 5, None)).items
        return next((row for row in exits if row.generation == generation), None)

    found: Exit = await until(check, f"the exit of generation {generation} is stored")
    return found


async def stacks_of(stack: Stack, bot_id: str) -> Stacks:
    diagnosis = SqlDiagnosis(stack.database)
    epoch = await diagnosis.ask_stacks(bot_id)

    async def check() -> Stacks | None:
        found = await diagnosis.stacks(bot_id)
        return found if found and found.epoch >= epoch else None

    answer: Stacks = await until(check, "the stacks are there")
    return answer


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("block", "time.sleep(600)"),
        pytest.param("spin", "count += 1", marks=pytest.mark.nightly),
        pytest.param("catastrophe", 're.fullmatch(r"(a|a)*b"', marks=pytest.mark.nightly),
    ],
)
async def test_blocked_worker_leaves_its_stacks_and_is_ready_again(stack: Stack, name: str, line: str) -> None:
    """With the liveness timeout that is the default, not with the short one of these tests."""
    bot_id, _ = await running(stack, FLOTILLA_LIVENESS_TIMEOUT_S="8")
    source = (Path(__file__).parents[2] / "extensions" / "misbehaving.py").read_text().splitlines()
    at = next(number for number, text in enumerate(source, 1) if line in text)
    await command(stack, name, wait_ms=500)
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the blocked bot is READY again")
    text = log_of(stack).read_text()
    assert "event loop is blocked" in text
    near = {at - 1, at, at + 1} if name == "spin" else {at}
    assert any(f'misbehaving.py", line {number} in invoke' in text for number in near), text
    end = await last_exit(stack, bot_id, 1)
    assert (end.exit_code, end.reason) == (-signal.SIGKILL, "unresponsive")
    assert "misbehaving.py" in end.tail or "runners.py" in end.tail


async def test_stacks_on_demand_show_threads_and_tasks_and_the_bot_goes_on(stack: Stack) -> None:
    bot_id, _ = await running(stack)
    before = await stack.status(bot_id)
    answer = await stacks_of(stack, bot_id)
    assert answer.fault is None
    assert answer.text is not None
    assert "they were asked for" in answer.text
    assert "Current thread" in answer.text
    assert "worker.py" in answer.text
    assert "in _beat" in answer.text
    assert "waits for" in answer.text
    again = await stacks_of(stack, bot_id)
    assert again.epoch == answer.epoch + 1
    assert await command(stack, "ping")
    after = await stack.status(bot_id)
    assert (after.pid, after.generation, after.ready) == (before.pid, 1, True)


async def test_stacks_of_a_blocked_bot_show_the_line_and_say_that_tasks_are_missing(stack: Stack) -> None:
    bot_id, _ = await running(stack, FLOTILLA_LIVENESS_TIMEOUT_S="60")
    await command(stack, "block", wait_ms=300)
    answer = await stacks_of(stack, bot_id)
    assert answer.text is not None
    assert 'misbehaving.py"' in answer.text
    assert "did not turn" in answer.text


async def test_request_for_stacks_survives_the_supervisor(stack: Stack) -> None:
    bot_id, supervisor = await running(stack)
    await supervisor.end(signal.SIGKILL)
    epoch = await SqlDiagnosis(stack.database).ask_stacks(bot_id)
    await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS)

    async def answered() -> bool:
        found = await SqlDiagnosis(stack.database).stacks(bot_id)
        return found is not None and found.epoch == epoch and "in _beat" in (found.text or "")

    await until(answered, "the next supervisor answers")


async def test_exits_are_remembered_in_words_with_the_end_of_the_log_and_without_tokens(stack: Stack) -> None:
    bot_id, _ = await running(stack)
    await command(stack, "blurt", text=f"my token is {token_of(7)}")
    await command(stack, "leave", code=7, wait_ms=300)
    end = await last_exit(stack, bot_id, 1)
    assert (end.exit_code, end.reason) == (7, "crashed")
    assert end.tail.splitlines()[-2:] == ["my token is [redacted]", "leaving now"]
    status = await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "it is back")
    os.kill(status.pid or 0, signal.SIGKILL)
    assert (await last_exit(stack, bot_id, 2)).exit_code == -signal.SIGKILL
    await stack.observed(bot_id, lambda s: s.generation == 3 and s.ready, "it is back again")
    status = await stack.observed(bot_id, lambda s: s.heartbeat_at, "its heartbeat is noted")
    assert status.heartbeat_at is not None
    assert abs((datetime.now(UTC) - status.heartbeat_at).total_seconds()) < 10


async def test_exit_that_no_supervisor_saw_is_remembered_too(stack: Stack) -> None:
    bot_id, supervisor = await running(stack)
    pid = (await stack.status(bot_id)).pid or 0
    await supervisor.end(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid), "the worker is gone")
    await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS)
    end = await last_exit(stack, bot_id, 1)
    assert (end.exit_code, end.reason) == (None, "unseen")
    assert "INFO" in end.tail


def _head_of(path: Path) -> str:
    try:
        return path.read_text()[:400]
    except FileNotFoundError:
        return ""


async def test_flooding_bot_is_bounded_and_costs_the_supervisor_little(stack: Stack) -> None:
    """A child process writes as fast as the disk takes it, far more than Python could."""
    bot_id, supervisor = await running(stack, FLOTILLA_BOT_LOG_MB="4")
    process = psutil.Process(supervisor.pid)
    path = log_of(stack)
    await command(stack, "flood")
    pid = (await stack.status(bot_id)).pid
    (child,) = await until(lambda: psutil.Process(pid).children(), "the child writes")
    before, began = process.cpu_times(), time.monotonic()
    written = child.io_counters().write_chars
    peak = 0
    while time.monotonic() - began < 5:
        peak = max(peak, sum(part.stat().st_size for part in parts(path) if part.exists()))
        await asyncio.sleep(0.005)
    took_s = time.monotonic() - began
    after = process.cpu_times()
    rate = (child.io_counters().write_chars - written) / took_s / MIB
    cpu = (after.user + after.system - before.user - before.system) / took_s
    figures = f"{rate:.0f} MiB/s, peak {peak / MIB:.1f} MiB of 4, supervisor {cpu:.1%} of a core"
    assert rate > 5, f"this flood is no flood: {figures}"
    assert peak < 4 * MIB + rate * MIB * 0.5, figures
    assert cpu < 0.5, figures
    newest = path.with_name(path.name + ".1")
    # Between two renames there is none for a moment.
    head = await until(lambda: _head_of(newest), "the newest old part is there")
    assert "of this log were dropped" in head
    status = await stack.status(bot_id)
    assert (status.ready, status.generation) == (True, 1)


async def test_full_disk_takes_neither_the_worker_nor_the_supervisor_down(stack: Stack) -> None:
    """/dev/full refuses every byte as a full disk does; it stands where the log would be."""
    log_of(stack).symlink_to("/dev/full")
    bot_id, supervisor = await running(stack)
    answer = await command(stack, "blurt", text="no room for this")
    assert answer["status"] == "answered"
    answer_stacks = await stacks_of(stack, bot_id)
    assert answer_stacks.text is not None
    status = await stack.status(bot_id)
    assert (status.ready, status.generation) == (True, 1)
    assert supervisor.process.returncode is None
    assert "Traceback" not in supervisor.text()
