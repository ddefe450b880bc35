"""A bot that has helpers of its own: starts, ends and outlives processes, each way that Python has for it."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import Any

import lightbulb

loader = lightbulb.Loader()


def sleep_on() -> None:
    time.sleep(600)


def reaped(pid: int) -> str:
    """Return how a child ended, "alive" if it does not within 5 s."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "alive"


def process(method: str) -> str:
    """Start a helper by multiprocessing and end it at once."""
    context: Any = multiprocessing.get_context(method)  # typeshed's base of all contexts has no Process
    helper = context.Process(target=sleep_on)
    helper.start()
    helper.terminate()
    helper.join(20)
    if helper.exitcode is None:
        helper.kill()
        helper.join()
        return "alive"
    return str(helper.exitcode)


def pool() -> str:
    """Use a pool of processes, and end its first by hand."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        first = executor.submit(os.getpid).result(timeout=30)
        os.kill(first, signal.SIGTERM)
        try:
            executor.submit(time.sleep, 0.5).result(timeout=30)
        except concurrent.futures.BrokenExecutor:
            return "-15"  # as the library says it of a process that ended
    return "alive"


def fork(number: int) -> str:
    """Fork, and end the child by a signal at once."""
    pid = os.fork()
    if not pid:
        sleep_on()
        os._exit(0)
    os.kill(pid, number)
    return reaped(pid)


def looped() -> str:
    """Fork a child that runs an event loop of its own with a handler of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:

        async def main() -> None:
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            os.write(writing, b"x")
            await asyncio.wait_for(stop.wait(), 30)

        asyncio.set_event_loop(None)
        asyncio.events._set_running_loop(None)
        asyncio.run(main())
        os._exit(7)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    os.kill(pid, signal.SIGTERM)
    return reaped(pid)


def prepared() -> str:
    """Start a program with code that runs in the fork before it."""
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=os.setpgrp)  # noqa: PLW1509 - as bots do
    helper.terminate()
    return str(helper.wait(timeout=10))


def outliving() -> str:
    """Leave a helper that outlives this process, in a session of its own."""
    pid = os.fork()
    if not pid:
        os.setsid()
        sleep_on()
        os._exit(0)
    return str(pid)


WAYS = {
    "fork process": lambda: process("fork"),
    "spawn process": lambda: process("spawn"),
    "forkserver process": lambda: process("forkserver"),
    "pool": pool,
    "fork SIGTERM": lambda: fork(signal.SIGTERM),
    "fork SIGINT": lambda: fork(signal.SIGINT),
    "fork SIGUSR1": lambda: fork(signal.SIGUSR1),
    "fork SIGUSR2": lambda: fork(signal.SIGUSR2),
    "looped": looped,
    "prepared": prepared,
    "outliving": outliving,
}


@loader.command
class Help(lightbulb.SlashCommand, name="helper", description="Start a helper and end it."):
    way = lightbulb.string("way", "how")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.defer()
        in_thread = self.way.startswith("threaded ")
        way = WAYS[self.way.removeprefix("threaded ")]
        await ctx.respond(await asyncio.to_thread(way) if in_thread else way())
