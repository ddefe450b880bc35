"""What a bot has made of its own folder is nobody's trouble when the bot is removed."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from tests.stack import Stack, alive, until

DEPTH = 3_000
"""Deeper than Python recurses, and a path of more bytes than the kernel takes."""


def nest(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


async def test_a_folder_that_is_nested_without_end_goes_with_its_bot_and_troubles_nobody(stack: Stack) -> None:
    nesting, other = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(2)
    pid = (await stack.status(other)).pid
    folder = stack.settings.bot_folder(nesting)
    nest(folder)
    await stack.bots.remove(nesting, datetime.now(UTC))
    await until(lambda: not folder.exists(), "its folder is gone")
    assert supervisor.process.returncode is None
    assert alive(pid)
    os.kill(pid or 0, signal.SIGKILL)
    await stack.observed(other, lambda status: status.generation == 2 and status.ready, "the other bot is healed")
