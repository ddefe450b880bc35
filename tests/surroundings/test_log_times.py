"""Bots, and whoever reads their logs, live in different time zones; and logs are moved, cut or removed.

Lines say how far from UTC their time is, so the fresh ones are found from everywhere.
A worker whose log was moved or removed goes on in a new one under the old name; whoever follows it misses nothing.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flotilla.botlog import log_file, old_file
from tests.stack import Stack, until

ZONES = ("UTC", "Asia/Kolkata", "Pacific/Chatham")
GOES_ON = "the log was moved or removed, and goes on here"
PATIENCE_S = 60.0
USERS = ["auto", "shared"] if os.geteuid() == 0 else ["auto"]
_OURS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}[+-]\d\d:\d\d ")


async def logs(stack: Stack, zone: str, *options: str) -> str:
    """Return what `flotilla logs` says to somebody who lives in `zone`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flotilla", "logs", "bot-0", *options),
        env=os.environ | stack.environment | {"TZ": zone},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, said
    return said.decode()


async def running(stack: Stack, zone: str) -> tuple[Path, int]:
    """Start a bot in a time zone; return its log and its process."""
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(TZ=zone)
    pid = (await stack.all_ready(1))[bot_id].pid
    assert pid is not None
    return log_file(stack.settings.log_dir, "bot-0"), pid


async def test_fresh_lines_are_found_from_every_time_zone(stack: Stack) -> None:
    path, _ = await running(stack, "America/New_York")
    ours = [line for line in path.read_text().splitlines() if re.match(r"\d{4}-", line)]
    assert ours
    assert all(_OURS.match(line) for line in ours)
    for said in await asyncio.gather(*(logs(stack, zone, "--since", "10m") for zone in ZONES)):
        assert ours[-1] in said
    assert await logs(stack, "Asia/Kolkata", "--until", "10m") == ""


@pytest.mark.parametrize("users", USERS)
async def test_a_log_that_is_moved_or_removed_goes_on_under_its_name_and_is_followed(stack: Stack, users: str) -> None:
    stack.environment["FLOTILLA_BOT_USERS"] = users
    path, pid = await running(stack, "Asia/Kolkata")
    seen = stack.home / "followed"
    with seen.open("wb") as file:
        following = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flotilla", "logs", "bot-0", "-f"),
            env=os.environ | stack.environment | {"TZ": "UTC"},
            stdout=file,
            stderr=file,
        )
    try:
        await until(lambda: seen.stat().st_size > 0, "the log is followed", PATIENCE_S)
        # As logrotate does it with `create`: a new, empty file is there at once.
        path.rename(old_file(path, 1))
        path.touch(mode=0o600)
        await until(lambda: path.read_text().count(GOES_ON) == 1, "the worker goes on after a move", PATIENCE_S)
        await until(lambda: seen.read_text().count(GOES_ON) == 1, "that was followed", PATIENCE_S)
        path.unlink()
        await until(lambda: path.exists() and GOES_ON in path.read_text(), "it goes on after a removal", PATIENCE_S)
        await until(lambda: seen.read_text().count(GOES_ON) == 2, "that was followed, too", PATIENCE_S)
        # As logrotate does it with `copytruncate`.
        path.write_bytes(b"")
        os.kill(pid, signal.SIGUSR2)
        await until(lambda: "flotilla: end of the tasks" in path.read_text(), "it writes on after a cut", PATIENCE_S)
        await until(lambda: b"end of the tasks" in seen.read_bytes(), "what came after was followed", PATIENCE_S)
    finally:
        following.terminate()
        await following.wait()
    assert "end of the tasks" in await logs(stack, "UTC", "--since", "10m")
