"""A worker's last seconds after it has handed over: nothing of its bot acts any more, and its successor is served.

It bounds its own life, so that nobody else has to: by what its successor says, by time, and by an alarm of the kernel's
should its event loop be blocked.
"""

import asyncio
import logging
import signal

from flotilla.hardening import own_memory
from flotilla.protocol import SEALED_S
from worker_bot.handover import LOOK_S, Handover
from worker_bot.link import Link
from worker_bot.orders import Orders
from worker_bot.session import Continuity

ALARM_S = int(SEALED_S) + 2
CLOSE_TIMEOUT_S = 4.0
SHARED_BYTES = 64 * 1024 * 1024
"""What of a worker's resident memory it shares with its siblings, at most; measured: 45 MB."""

log = logging.getLogger("flotilla.session")


async def stay(
    continuity: Continuity, link: Link, orders: Orders, linking: "asyncio.Task[None]", stop: asyncio.Event
) -> None:
    """Return when the worker must end, leaving its sessions; at once if its successor needs nothing of it.

    stop: ends it sooner, and its sessions with it. The bot must be sealed.
    """
    handover = continuity.hand_over()
    if handover is None:
        return
    # SIGALRM's default action ends the process even while its event loop is blocked.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(ALARM_S)
    orders.close()
    continuity.silence(keep={linking})
    try:
        await handover.listen()
    except OSError as fault:
        log.warning("no successor can be served, so it gets what Discord replays: %s", fault)
        return
    link.report_sealed()
    why = await _end_of(handover, continuity, orders, linking, stop)
    handover.close()
    log.info("the worker ends after it has handed over: %s", why)


async def _end_of(
    handover: Handover, continuity: Continuity, orders: Orders, linking: "asyncio.Task[None]", stop: asyncio.Event
) -> str:
    while not stop.is_set():
        if orders.relieved.is_set():
            linking.cancel()
        why = handover.over() or _too_large(orders)
        if why:
            return why
        await asyncio.sleep(LOOK_S)
    await asyncio.wait_for(continuity.close(), CLOSE_TIMEOUT_S)
    return "it was stopped"


def _too_large(orders: Orders) -> str:
    bound_bytes = orders.limits.memory_bound_bytes
    too_large = bound_bytes and own_memory().resident_bytes > bound_bytes + SHARED_BYTES
    return "it uses too much memory" if too_large else ""
