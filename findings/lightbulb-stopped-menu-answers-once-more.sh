#!/usr/bin/env bash
# Package: hikari-lightbulb 3.2.6 with hikari 2.6.0, Python 3.11 or newer.
#
# Guess: `handle.stop_interacting()` of a menu from `attach_persistent` detaches it. A press that comes later finds no
# menu and is dropped, whatever timeout the menu was attached with.
#
# What happens: so it is with a timeout. With `timeout=None`, which a persistent menu wants, the handle does not know
# its menu: the first press after the stop still runs the callback, and only that press detaches the menu. Until then
# `handle.wait()` has long returned, and a menu that nobody presses again is held for as long as the bot runs.
#
# Output seen:
#   hikari-lightbulb 3.2.6
#   attached with timeout=60:   presses answered before the stop 1, after it 0
#   attached with timeout=None: presses answered before the stop 1, after it 1
#   1000 menus attached with timeout=None and stopped: still held 1000
#
# Why it matters: a poll that was closed counts one more vote, a confirmation that was withdrawn still acts, once each;
# and a bot that makes a menu per ticket grows with every ticket, and every press looks through all of them.
#
# Do instead: attach with a long timeout in place of None, or let the callback ask a flag of your own ("is it open?")
# and stop with `ctx.stop_interacting()` from inside the menu.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check hikari==2.6.0 hikari-lightbulb==3.2.6

cat >"$folder/try.py" <<'PY'
import asyncio
import gc
import importlib.metadata
import weakref

import hikari
import lightbulb
from lightbulb.components import menus

USER = {"id": "7", "username": "someone", "discriminator": "0", "avatar": None, "global_name": None}


def press(custom_id: str) -> dict[str, object]:
    """What Discord sends when somebody presses a button in a direct message."""
    message = {
        "id": "10",
        "channel_id": "9",
        "author": USER,
        "content": "",
        "timestamp": "2026-11-01T00:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        "type": 0,
        "flags": 0,
        "components": [],
    }
    return {
        "id": "11",
        "application_id": "1",
        "type": 3,
        "token": "interaction-token",
        "version": 1,
        "channel_id": "9",
        "channel": {"id": "9", "type": 1, "recipients": []},
        "user": USER,
        "locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {},
        "context": 1,
        "attachment_size_limit": 1,
        "app_permissions": "0",
        "data": {"custom_id": custom_id, "component_type": 2},
        "message": message,
    }


class Poll(menus.Menu):
    def __init__(self, custom_id: str) -> None:
        self.votes = 0
        self.add_interactive_button(hikari.ButtonStyle.PRIMARY, self.vote, custom_id=custom_id, label="Vote")

    async def vote(self, _: menus.MenuContext) -> None:
        self.votes += 1


async def main() -> None:
    print("hikari-lightbulb", importlib.metadata.version("hikari-lightbulb"))
    bot = hikari.GatewayBot("MQ.x.y", banner=None, logs=None, suppress_optimization_warning=True)
    client = lightbulb.client_from_app(bot, sync_commands=False)
    await client.start()

    async def pressed(custom_id: str) -> None:
        interaction = bot.entity_factory.deserialize_interaction(press(custom_id))
        await client.handle_interaction_create(interaction)

    seen = []
    for timeout in (60, None):
        poll = Poll("vote")
        handle = poll.attach_persistent(client, timeout=timeout)
        await asyncio.sleep(0)
        await pressed("vote")
        before = poll.votes
        handle.stop_interacting()
        if timeout is None:
            await asyncio.wait_for(handle.wait(), 1)
        await asyncio.sleep(0)
        await pressed("vote")
        await pressed("vote")
        label = f"attached with timeout={timeout}:"
        print(f"{label:27} presses answered before the stop {before}, after it {poll.votes - before}")
        seen.append((before, poll.votes - before))

    held = []
    for number in range(1000):
        poll = Poll(f"vote-{number}")
        poll.attach_persistent(client, timeout=None).stop_interacting()
        held.append(weakref.ref(poll))
    del poll
    gc.collect()
    still = sum(each() is not None for each in held)
    print("1000 menus attached with timeout=None and stopped: still held", still)
    if seen != [(1, 0), (1, 1)] or still != 1000:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
