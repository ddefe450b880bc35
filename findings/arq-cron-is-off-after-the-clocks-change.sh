#!/usr/bin/env bash
# Package: arq 0.28.0 with redis 5.3.1, Python 3.11 or newer. No server is needed.
#
# Guess: a worker without `timezone` keeps cron times in the zone of the system, as its documentation says,
# summer and winter. With `timezone=ZoneInfo("Europe/Berlin")` a job every half hour runs every half hour.
#
# What happens:
# - The default is not the zone but the offset it had when the worker was made. Until it is restarted, a job for 9:00
#   runs at 10:00 after the change in spring, at 8:00 after the one in autumn.
# - With a ZoneInfo a job for 9:00 is right, but turns are counted on the wall: in autumn the repeated hour is left out,
#   and a job every half hour has a hole of 90 minutes. In spring two turns at 2:00 and 2:30, which no clock shows, are
#   followed by 3:00 and 3:30, the same two moments with the same job ids once more: swallowed where results are kept,
#   run again with keep_result=0.
#
# Output seen:
#   arq 0.28.0
#   worker without a timezone, system zone Europe/Berlin: fixed offset 1:00:00
#     made in winter, daily at 9:00, on the wall: 28 Mar 09:00, 29 Mar 10:00, 30 Mar 10:00
#     with ZoneInfo: 28 Mar 09:00, 29 Mar 09:00, 30 Mar 09:00
#   every half hour with ZoneInfo, 25 Oct, minutes between turns: 30 30 90 30 30
#   every half hour with ZoneInfo, 29 Mar, minutes between turns: 30 30 -30 30 30
#
# Why it matters: a bot host runs its workers for months; the daily post of every bot moves by an hour, without error,
# and moves back at the next deployment. A sweep every half hour is what other timeouts were measured against.
#
# Do instead: `timezone=ZoneInfo(...)` for jobs at a time of day; `timezone=UTC` for jobs at intervals; they do not fit
# into one worker when both matter.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check arq==0.28.0 redis==5.3.1 tzdata==2026.6

cat >"$folder/try.py" <<'PY'
import asyncio
import datetime as dt
import importlib.metadata
import os
import time
from itertools import pairwise
from zoneinfo import ZoneInfo

from arq import cron
from arq.worker import Worker

BERLIN = ZoneInfo("Europe/Berlin")


async def post(_: dict) -> None: ...


def turns(worker: Worker, start: dt.datetime, count: int) -> list[dt.datetime]:
    """The next turns of the worker's only job, as the worker works them out one from the other."""
    (job,) = worker.cron_jobs
    found = [start.astimezone(worker.timezone)]
    for _ in range(count):
        job.calculate_next(found[-1])
        found.append(job.next_run)
    return found[1:]


def on_the_wall(found: list[dt.datetime]) -> list[str]:
    return [f"{each.astimezone(dt.UTC).astimezone(BERLIN):%d %b %H:%M}" for each in found]


def minutes_between(found: list[dt.datetime]) -> list[int]:
    return [round((b.timestamp() - a.timestamp()) / 60) for a, b in pairwise(found)]


async def main() -> None:
    print("arq", importlib.metadata.version("arq"))
    daily = {"hour": 9, "minute": 0, "second": 0, "microsecond": 0}
    half_hourly = {"minute": {0, 30}, "second": 0, "microsecond": 0}
    made = Worker(cron_jobs=[cron(post, **daily)], handle_signals=False)
    fixed = isinstance(made.timezone, dt.timezone)
    print(f"worker without a timezone, system zone Europe/Berlin: fixed offset {made.timezone.utcoffset(None)}")
    # Whatever the season is: what such a worker does that was made in winter.
    winter = Worker(
        cron_jobs=[cron(post, **daily)],
        handle_signals=False,
        timezone=dt.timezone(dt.datetime(2026, 1, 15, tzinfo=BERLIN).utcoffset()),
    )
    before = dt.datetime(2026, 3, 27, 12, tzinfo=BERLIN)
    drifted = on_the_wall(turns(winter, before, 3))
    print("  made in winter, daily at 9:00, on the wall:", ", ".join(drifted))
    zoned = Worker(cron_jobs=[cron(post, **daily)], handle_signals=False, timezone=BERLIN)
    right = on_the_wall(turns(zoned, before, 3))
    print("  with ZoneInfo:", ", ".join(right))
    often = Worker(cron_jobs=[cron(post, **half_hourly)], handle_signals=False, timezone=BERLIN)
    autumn = minutes_between(turns(often, dt.datetime(2026, 10, 25, 1, 20, tzinfo=BERLIN), 6))
    spring = minutes_between(turns(often, dt.datetime(2026, 3, 29, 1, 20, tzinfo=BERLIN), 6))
    print("every half hour with ZoneInfo, 25 Oct, minutes between turns:", *autumn)
    print("every half hour with ZoneInfo, 29 Mar, minutes between turns:", *spring)
    held = (
        fixed
        and drifted == ["28 Mar 09:00", "29 Mar 10:00", "30 Mar 10:00"]
        and right == ["28 Mar 09:00", "29 Mar 09:00", "30 Mar 09:00"]
        and 90 in autumn
        and any(gap < 0 for gap in spring)
    )
    if not held:
        raise SystemExit("not as stated any more")


os.environ["TZ"] = "Europe/Berlin"
time.tzset()
asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
