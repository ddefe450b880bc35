"""A bot has left a process that cannot be ended.

Its lifecycle goes on after a while, the process is named, and is looked for until it is gone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flotilla.mark import mark_of, wear_worker_mark, worker_mark, worker_number
from tests.stack import until

ROOT = Path(__file__).parents[2]
HOME = mark_of(Path("/of/no/home"))
AS_ORDINARY = """
import asyncio, concurrent.futures.thread, hashlib, json, os, sys  # before nobody may read them
from supervisor import killing
from supervisor.killing import Killing, shown
from flotilla.processes import ticks_now
from supervisor.remains import Ended, Living
home, number, ordinary, users = map(int, sys.argv[1:])
killing.GONE_WITHIN_S, killing.STUBBORN_APART_S = 0.3, 0.05
os.setgroups([]), os.setgid(ordinary), os.setuid(ordinary)

def living():
    return Living(home, at=ticks_now())

def tell(worker, left):
    print(json.dumps([worker.bot, shown(left)]), file=sys.stderr, flush=True)

async def main():
    ended = Killing(living, tell)
    worker = Ended("a bot", 2**22, 0, ticks_now(), frozenset({ordinary}), number, users)
    await ended.end(worker)
    await ended.drain()
    print(json.dumps(ended.lives(users)), file=sys.stderr, flush=True)
    while ended.lives(users):
        await asyncio.sleep(0.01)
    print(json.dumps("gone"), file=sys.stderr, flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an ordinary user may kill all that it can start")
async def test_a_process_that_cannot_be_ended_is_named_and_looked_for_until_it_is_gone() -> None:
    mark = worker_mark(HOME, "bot", 1)
    process = subprocess.Popen(["sleep", "36066"], preexec_fn=lambda: wear_worker_mark(mark))  # noqa: ASYNC220, PLW1509
    command = [sys.executable, "-c", AS_ORDINARY, str(HOME), str(worker_number("bot", 1)), "65533", "65532"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as ordinary:  # noqa: ASYNC220
        assert ordinary.stderr is not None
        try:
            assert json.loads(ordinary.stderr.readline()) == ["a bot", [f"{process.pid} (sleep 36066)"]]
            assert json.loads(ordinary.stderr.readline()) is True, "its user is not free"
            assert process.poll() is None
            process.kill()
            process.wait()
            assert json.loads(ordinary.stderr.readline()) == "gone"
            await until(lambda: ordinary.poll() == 0, "it has ended")
        finally:
            process.kill()
            process.wait()
            ordinary.kill()
