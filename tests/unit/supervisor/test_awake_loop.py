"""The supervisor's event loop, in a process that is stopped and goes on."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import supervisor
from flotilla.processes import start_ticks
from supervisor.awake_loop import AwakeLoop
from tests.stack import until

CODE = """
import asyncio, sys
from supervisor.awake_loop import AwakeLoop

async def main():
    loop = asyncio.get_running_loop()
    answer = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(answer), sys.stdin)
    print("waits", flush=True)
    try:
        line = await asyncio.wait_for(answer.readline(), 1.0)
    except TimeoutError:
        line = b"nothing"
    print(line.decode().strip(), loop.clock.missed_s > 1.0, flush=True)

with asyncio.Runner(loop_factory=AwakeLoop) as runner:
    runner.run(main())
"""


async def test_an_answer_that_came_while_the_program_was_stopped_came_in_time() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=pipe, stdout=pipe) as process:  # noqa: ASYNC220
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"waits\n"
        os.kill(process.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{process.pid}/stat")
        await until(lambda: stat.read_bytes().rpartition(b") ")[2].startswith(b"T"), "it is stopped")
        await asyncio.sleep(3.0)  # what the program misses
        process.stdin.write(b"here\n")
        process.stdin.flush()
        assert start_ticks(process.pid)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == b"here True\n"


def test_a_loop_that_works_for_long_says_that_it_missed_something() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AwakeLoop)
        began = loop.time()
        signal.sigtimedwait([signal.SIGUSR2], 0.6)  # blocks, as a hanging disk does
        await asyncio.sleep(0)
        assert loop.clock.stalls
        return loop.time() - began

    with asyncio.Runner(loop_factory=AwakeLoop) as runner:
        assert runner.run(main()) < 0.5


REAL_TIME = {
    "admission.py": "how much a bot tells",
    "awake_loop.py": "makes the other clock of it",
    "chronicle.py": "how often people are told",
    "containment.py": "how often people are told",
    "control.py": "how often people are told",
    "diagnosis.py": "how fast logs grow",
    "findings.py": "how often a bot is renewed, which waiting longer does not mend",
    "fleet.py": "the default of tests",
    "forkservers.py": "how long one served, which is no deadline",
    "host_faults.py": "how long it was, for people",
    "link.py": "how fast a peer sends",
    "log_share.py": "how much a bot has logged",
    "member.py": "the default of tests",
    "memory.py": "how fast memory grows",
    "memory_watch.py": "how fast memory grows",
    "metrics.py": "how fast counts grow",
    "pace.py": "how fast a bot sends",
    "requests.py": "Discord's window, by the clock of all workers of the host",
    "sessions.py": "the patience of a worker, by the worker's clock",
    "stalls.py": "how soon all were heard, for people",
}
"""Modules that may ask for CLOCK_MONOTONIC itself, and what for: nothing of it is a peer's silence."""


def test_whatever_measures_silence_asks_the_loop_for_the_time() -> None:
    """A new deadline in the supervisor goes by `loop.time()`, `Fleet.now`, or asyncio's own timeouts."""
    found = set()
    for path in Path(supervisor.__file__).parent.glob("*.py"):
        if re.search(r"time\.(monotonic|perf_counter)", path.read_text()):
            found.add(path.name)
    assert found == REAL_TIME.keys()
