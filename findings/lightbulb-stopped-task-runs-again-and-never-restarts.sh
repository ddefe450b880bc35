#!/usr/bin/env bash
# Package: hikari-lightbulb 3.2.6 with hikari 2.6.0, Python 3.11 or newer.
#
# Guess: `task.stop()` ends a repeating task: its function is not called any more. `task.start()` begins it anew.
# `task.cancel()` does the same as `stop()` without waiting for a call under way; then `task.running` is false.
#
# What happens:
# - `stop()` while the task waits for its next turn does not end the wait: the function is called once more, up to a
#   whole interval later, although `running` has been false since.
# - `start()` after `stop()` does nothing, for good: no call, no error, no log line.
# - After `cancel()` no call comes, but `running` stays true and `cancelled` false for ever, so `start()` believes that
#   the task runs and does nothing either. `await_completion()` returns at once, whatever the function still does.
#
# Output seen:
#   hikari-lightbulb 3.2.6
#   stop():   calls before 2, in the second after it 1, after start() 0; running=False
#   cancel(): calls before 2, in the second after it 0, after start() 0; running=True cancelled=False
#
# Why it matters: "pause the stock updates" posts one more update after the answer that they are paused; with hours
# between two turns, hours later. "Resume" says yes and does nothing until the bot is restarted. A health check that
# reads `task.running` is wrong both ways.
#
# Do instead: let the task run always and ask a flag of your own in the function; or drop the object and make a new one
# with `client.task(trigger)(function)` for each start.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check hikari==2.6.0 hikari-lightbulb==3.2.6

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata

import hikari
import lightbulb

INTERVAL_S = 0.4


async def main() -> None:
    print("hikari-lightbulb", importlib.metadata.version("hikari-lightbulb"))
    bot = hikari.GatewayBot("MQ.x.y", banner=None, logs=None, suppress_optimization_warning=True)
    client = lightbulb.client_from_app(bot, sync_commands=False)
    await client.start()
    seen = []
    for way in ("stop", "cancel"):
        calls = 0

        @client.task(lambda _: INTERVAL_S)
        async def update() -> None:
            nonlocal calls
            calls += 1

        # Half an interval after the second call: the task waits for its third turn.
        await asyncio.sleep(2.5 * INTERVAL_S)
        before = calls
        getattr(update, way)()
        await asyncio.sleep(2.5 * INTERVAL_S)
        after = calls - before
        update.start()
        await asyncio.sleep(2.5 * INTERVAL_S)
        restarted = calls - before - after
        state = f"running={update.running}" + (f" cancelled={update.cancelled}" if way == "cancel" else "")
        label = f"{way}():"
        print(f"{label:9} calls before {before}, in the second after it {after}, after start() {restarted}; {state}")
        seen.append((before, after, restarted, state))
    if seen != [(2, 1, 0, "running=False"), (2, 0, 0, "running=True cancelled=False")]:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
