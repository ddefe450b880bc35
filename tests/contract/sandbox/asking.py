"""What a bot asks of Discord in the tests of requests: the same by hikari as it is, and by hikari in a worker.

As a program it runs one of these with hikari as it is, in a process that has nothing of ours in it, and prints the
outcome: `python -m tests.contract.sandbox.asking NAME URL TOKEN CHANNEL…`.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import hikari
from hikari.api import RESTClient
from hikari.impl.config import HTTPSettings, HTTPTimeoutSettings

FAR_S = 30.0
"""Beyond any outcome: what takes longer is stopped and told as "stuck"."""

Outcome = dict[str, Any]
_numbers = itertools.count(1)


async def told(call: Awaitable[object]) -> Outcome:
    """Return what came of a call: "done", or the error's name and whether it is one of hikari's; and the seconds."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(FAR_S):
            await call
        outcome: Outcome = {"outcome": "done", "hikaris": True}
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        stuck = isinstance(error, TimeoutError) and time.monotonic() - began >= FAR_S
        outcome = {
            "outcome": "stuck" if stuck else type(error).__name__,
            "hikaris": isinstance(error, hikari.HikariError),
        }
        outcome["error"] = str(error)[:500]
    return outcome | {"took_s": round(time.monotonic() - began, 3)}


async def answer(client: RESTClient, _channel: int) -> Outcome:
    """Give the first response to an interaction."""
    interaction, shown = next(_numbers), hikari.ResponseType.MESSAGE_CREATE
    return await told(client.create_interaction_response(interaction, "aToken", shown, "hello"))


async def answers(client: RESTClient, channel: int) -> Outcome:
    """Give first responses for a second, fifty of them."""
    tasks = []
    for _ in range(50):
        tasks.append(asyncio.create_task(answer(client, channel)))
        await asyncio.sleep(0.02)
    outcomes = await asyncio.gather(*tasks)
    return {"outcomes": sorted({each["outcome"] for each in outcomes}), "took_s": max(e["took_s"] for e in outcomes)}


async def send(client: RESTClient, *channels: int) -> Outcome:
    """Send a message to each channel at once, and return what came of the slowest."""
    outcomes = await asyncio.gather(*(told(client.create_message(channel, "hello")) for channel in channels))
    return max(outcomes, key=lambda each: each["took_s"])


async def send_known(client: RESTClient, *channels: int) -> Outcome:
    """Send a message with a nonce, by which Discord knows it again."""
    return await told(client.create_message(channels[0], "hello", nonce="n1"))


async def read(client: RESTClient, channel: int) -> Outcome:
    """Ask for a channel."""
    return await told(client.fetch_channel(channel))


async def upload(client: RESTClient, channel: int) -> Outcome:
    """Send a file that a generator makes."""
    file = hikari.Bytes((b"x" * 1000 for _ in range(50)), "file.txt")
    return await told(client.create_message(channel, "hello", attachment=file))


async def rename(client: RESTClient, *channels: int) -> list[Outcome]:
    """Rename each channel at once."""
    return await asyncio.gather(*(told(client.edit_channel(channel, name="other")) for channel in channels))


SCENARIOS: dict[str, Callable[..., Awaitable[Any]]] = {
    each.__name__: each for each in (answer, answers, send, send_known, read, upload, rename)
}


def app(url: str) -> hikari.RESTApp:
    """Return hikari with quick patience for stalled answers."""
    settings = HTTPSettings(timeouts=HTTPTimeoutSettings(total=2.0))
    return hikari.RESTApp(url=f"{url}/api/v10", http_settings=settings, max_rate_limit=20)


async def run(name: str, url: str, token: str, *channels: int) -> Any:
    """Run a scenario with hikari as this process has it."""
    asked = app(url)
    await asked.start()
    try:
        async with asked.acquire(token, hikari.TokenType.BOT) as client:
            return await SCENARIOS[name](client, *channels)
    finally:
        await asked.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])))))  # noqa: T201
