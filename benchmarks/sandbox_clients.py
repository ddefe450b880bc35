"""`python -m benchmarks.sandbox_clients URL BOTS SECONDS`: many raw bots in one process; prints their counts as JSON.

Each bot connects with zlib-stream as hikari does, beats, and answers each interaction. The process says `ready` on
stdout when all are READY, waits for a line on stdin, and counts for SECONDS from then on.
"""

import asyncio
import json
import os
import re
import sys
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

INTENTS = 1 | (1 << 9)  # guilds and their messages
CONNECTING = 50  # at once
CALLBACKS = 64  # connections for REST
ANSWER = b'{"type":4,"data":{"content":"pong"}}'


@dataclass(slots=True)
class Counts:
    """What came and went while it counted."""

    dispatches: int = 0
    callbacks: int = 0
    failures: int = 0
    elapsed_ms: list[float] = field(default_factory=list)


class Bots:
    """All bots of the process."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._queue: asyncio.Queue[tuple[str, str, float]] = asyncio.Queue()
        self._ready = 0
        self.all_ready = asyncio.Event()
        self.wanted = 0
        self.counts = Counts()

    async def token(self, name: str) -> str:
        """Return the token of an application with one command."""
        key = {"Authorization": f"Bearer {os.environ['FLOTILLA_SANDBOX_KEY']}"}
        async with self._http.post(f"{self._url}/sandbox/applications", json={"name": name}, headers=key) as answer:
            facts = await answer.json()
        path = f"{self._url}/api/v10/applications/{facts['id']}/commands"
        headers = {"Authorization": f"Bot {facts['token']}"}
        commands = [{"name": "ping", "description": "Answers pong"}]
        async with self._http.put(path, json=commands, headers=headers) as answer:
            answer.raise_for_status()
        return str(facts["token"])

    async def live(self, token: str, gate: asyncio.Semaphore) -> None:
        """Connect, and read until cancelled."""
        async with gate:
            websocket = await self._http.ws_connect(
                f"{self._url}/gateway?v=10&encoding=json&compress=zlib-stream", max_msg_size=0
            )
            inflate = zlib.decompressobj().decompress
            hello = json.loads(inflate(await websocket.receive_bytes()))
            await websocket.send_json({"op": 2, "d": {"token": token, "intents": INTENTS, "properties": {}}})
        beating = asyncio.create_task(_beat(websocket, hello["d"]["heartbeat_interval"] / 1000))
        try:
            async for message in websocket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._hear(inflate(message.data))
        finally:
            beating.cancel()

    def _hear(self, frame: bytes) -> None:
        if b'"op":0' not in frame:
            return
        self.counts.dispatches += 1
        if b'"INTERACTION_CREATE"' in frame:
            event: dict[str, Any] = json.loads(frame)["d"]
            self._queue.put_nowait((event["id"], event["token"], time.monotonic()))
        elif b'"READY"' in frame:
            self._ready += 1
            if self._ready == self.wanted:
                self.all_ready.set()

    async def answer(self) -> None:
        """Answer interactions until cancelled, one after the other on a connection of its own.

        The bots are the load, not what is measured: a plain connection costs them a fifth of a client library's time.
        """
        address = URL(self._url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = f"Host: {address.host}\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
        while True:
            interaction_id, token, heard_at = await self._queue.get()
            path = f"/api/v10/interactions/{interaction_id}/{token}/callback"
            writer.write(f"POST {path} HTTP/1.1\r\n{head}".encode() + ANSWER)
            told = await reader.readuntil(b"\r\n\r\n")
            self.counts.callbacks += 1
            if not told.startswith(b"HTTP/1.1 204"):
                self.counts.failures += 1
                length = re.search(rb"Content-Length: (\d+)", told)
                await reader.readexactly(int(length[1]) if length else 0)
            self.counts.elapsed_ms.append((time.monotonic() - heard_at) * 1000)


async def _beat(websocket: aiohttp.ClientWebSocketResponse, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s * 0.8)
        await websocket.send_json({"op": 1, "d": None})


async def main(url: str, count: int, seconds: float) -> None:
    """Connect `count` bots, count for `seconds` once told to."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
        bots = Bots(http, url)
        bots.wanted = count
        gate = asyncio.Semaphore(CONNECTING)
        tokens = [await bots.token(f"bot-{number}") for number in range(count)]
        living = [tasks.create_task(bots.live(token, gate)) for token in tokens]
        living += [tasks.create_task(bots.answer()) for _ in range(CALLBACKS)]
        await bots.all_ready.wait()
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        bots.counts = Counts()
        began = time.monotonic()
        await asyncio.sleep(seconds)
        counts, lasted_s = bots.counts, time.monotonic() - began
        ranked = sorted(counts.elapsed_ms)
        print(
            json.dumps(
                {
                    "seconds": lasted_s,
                    "dispatches": counts.dispatches,
                    "callbacks": counts.callbacks,
                    "failures": counts.failures,
                    "callback_p50_ms": ranked[len(ranked) // 2] if ranked else None,
                    "callback_p99_ms": ranked[int(len(ranked) * 0.99)] if ranked else None,
                }
            ),
            flush=True,
        )
        for task in living:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
