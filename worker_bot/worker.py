"""One worker's life after the fork: meet the supervisor, get the token, run the bot, end as asked."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import psutil

from flotilla.log import redact_text
from flotilla.protocol import Fork
from worker_bot import stacks
from worker_bot.bot import Bot
from worker_bot.identify import IdentifyGate
from worker_bot.link import Link, RefusedError
from worker_bot.orders import Orders
from worker_bot.session import Continuity
from worker_bot.triage import reason_of

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_REFUSED = 3
HAND_OVER = signal.SIGUSR1
"""Asks a worker to leave its session to the next one; SIGTERM asks it to end the session."""

WELCOME_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 4.0
MEASURE_EVERY = 30
"""Heartbeats between two looks at the own page tables, which take about a millisecond."""

log = logging.getLogger("flotilla.worker")


async def run_worker(fork: Fork) -> int:
    """Run one bot until SIGTERM, the end of its connection, or a refusal; return the process's exit code."""
    stop, hand_over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(HAND_OVER, hand_over.set)
    stacks.install()
    link = Link(Path(fork.control_path), fork.bot_id, fork.generation, fork.secret)
    orders = Orders(IdentifyGate(link.send))
    linking = asyncio.create_task(link.keep(orders.take))
    bots: list[Bot] = []
    serving = asyncio.create_task(_serve(fork, link, orders, bots))
    stopping = asyncio.create_task(stop.wait())
    handing = asyncio.create_task(_hand_over(hand_over, bots))
    done, _ = await asyncio.wait({linking, serving, stopping, handing}, return_when=asyncio.FIRST_COMPLETED)
    if handing in done and bots:
        _leave(EXIT_OK)
    if stopping not in done and linking in done:
        await _hear_refusal(linking, bots)
        _leave(EXIT_REFUSED)
    if serving in done:
        linking.cancel()
        return serving.result()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    linking.cancel()
    return EXIT_OK


async def _hear_refusal(linking: asyncio.Task[None], bots: list[Bot]) -> None:
    """Leave the session to whoever comes next: a supervisor of another release, or the worker that replaced this one.

    To close it would cost that one an IDENTIFY, or even end the session that it goes on with.
    """
    try:
        await linking
    except RefusedError as refusal:
        log.warning("refused by the supervisor: %s", refusal)
    for bot in bots:
        await bot.hand_over()


async def _hand_over(asked: asyncio.Event, bots: list[Bot]) -> None:
    """Return when the next worker may resume the session. Without a bot yet there is none to hand over."""
    await asked.wait()
    for bot in bots:
        await bot.hand_over()


def _leave(code: int) -> NoReturn:
    """End at once: an orderly end would close the session. The kernel closes the socket, which keeps it resumable."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _continuity(path: str) -> Continuity:
    try:
        return Continuity(Path(path) if path else None)
    except OSError as fault:
        log.warning("the session cannot be kept, so the next start will be a cold one: %s", fault)
        return Continuity()


async def _serve(fork: Fork, link: Link, orders: Orders, bots: list[Bot]) -> int:
    message = await asyncio.wait_for(orders.welcome, WELCOME_TIMEOUT_S)
    if message.token is None:
        log.error("the supervisor sent no token to a worker that has none")
        return EXIT_FAILED

    async def on_ready() -> None:
        orders.gate.was_ready = True
        link.report_ready(ready=True, resumed=bot.resumed)

    async def on_lost() -> None:
        link.report_ready(ready=False)

    continuity = _continuity(fork.session_path)
    bot = Bot(
        message.token, message.config, on_ready=on_ready, on_lost=on_lost, continuity=continuity, gate=orders.gate
    )
    bots.append(bot)
    del message
    link.running = True
    beating = asyncio.create_task(_beat(link, bot, orders))
    try:
        await bot.run()
    except Exception as error:
        code = reason_of(error)
        detail = redact_text(f"{type(error).__name__}: {error}")
        # A traceback helps where the bot's own code is at fault; for a refused token it only hides the sentence.
        log.log(logging.ERROR, "the bot's run ended (%s): %s", code, detail, exc_info=code == "bot_code_failed")
        await link.report_failing(code, detail)
        return EXIT_FAILED
    else:
        await link.report_failing("crashed", "the gateway connection ended without an error")
        return EXIT_FAILED
    finally:
        beating.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(bot.close(), CLOSE_TIMEOUT_S)


async def _beat(link: Link, bot: Bot, orders: Orders) -> None:
    process, shared_bytes = psutil.Process(), None
    for number in itertools.count():
        if number % MEASURE_EVERY == 1:
            memory = process.memory_full_info()
            shared_bytes = memory.rss - memory.uss
        link.report_beat(bot.latency_ms, shared_bytes)
        await asyncio.sleep(orders.limits.heartbeat_s)
