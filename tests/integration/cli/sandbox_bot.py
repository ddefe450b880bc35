"""What `flotilla sandbox` is tried on: a real sandbox as a process, and a bot of our own on it, in a thread."""

import asyncio
import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Self

import aiohttp
import httpx

Json = dict[str, Any]
GUILDS, MEMBERS, GUILD_MESSAGES, PRIVATE_MESSAGES, CONTENT = 1, 1 << 1, 1 << 9, 1 << 12, 1 << 15
PATIENCE_S = 20.0

BUTTON = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
LINK = {"type": 2, "style": 5, "label": "Docs", "url": "https://example.com/docs"}
OFF = {"type": 2, "style": 2, "label": "Never", "custom_id": "never", "disabled": True}
MENU = {
    "type": 3,
    "custom_id": "fruit",
    "placeholder": "Which fruit?",
    "max_values": 2,
    "options": [{"label": "Apple", "value": "apple"}, {"label": "pear", "value": "pear"}],
}
EMBED = {
    "title": "Stock",
    "description": "All that is left.",
    "color": 0x2ECC71,
    "fields": [{"name": "Apples", "value": "12"}, {"name": "Pears", "value": "7"}],
    "footer": {"text": "counted today"},
}
PANEL = {
    "content": "Choose.",
    "embeds": [EMBED],
    "components": [{"type": 1, "components": [BUTTON, LINK, OFF]}, {"type": 1, "components": [MENU]}],
}
FORM = {
    "title": "Tell me",
    "custom_id": "form",
    "components": [
        {"type": 1, "components": [{"type": 4, "custom_id": "name", "style": 1, "label": "Name", "max_length": 40}]},
        {"type": 1, "components": [{"type": 4, "custom_id": "why", "style": 2, "label": "Why", "required": False}]},
    ],
}
V2 = {
    "flags": 1 << 15,
    "components": [
        {
            "type": 17,
            "accent_color": 0x3498DB,
            "components": [
                {"type": 10, "content": "# Weather"},
                {"type": 9, "components": [{"type": 10, "content": "Sunny"}], "accessory": BUTTON},
                {"type": 14},
                {"type": 12, "items": [{"media": {"url": "https://example.com/a.png"}}]},
            ],
        }
    ],
}
QUERY = {"type": 3, "name": "q", "description": "d", "autocomplete": True}
STOCK = [
    {"type": 3, "name": "item", "description": "d"},
    {"type": 4, "name": "count", "description": "d"},
    {"type": 5, "name": "sold", "description": "d"},
    {"type": 10, "name": "price", "description": "d"},
    {"type": 11, "name": "list", "description": "d"},
]
COMMANDS: list[Json] = [
    *(
        {"name": name, "description": "d"}
        for name in ("ping", "panel", "form", "slow", "thinking", "secret", "silent", "weather", "nothing", "rude")
    ),
    {"name": "find", "description": "d", "options": [QUERY]},
    {
        "name": "stock",
        "description": "d",
        "options": [{"type": 1, "name": "show", "description": "d", "options": STOCK}],
    },
    {"name": "Report", "type": 3},
    {"name": "Who", "type": 2},
]


def answer_to(event: Json) -> Json | None:
    """Return the callback's body; None where the bot stays silent."""
    data = event["data"]
    if event["type"] == 4:
        choices = [{"name": "Apple pie", "value": "pie"}, {"name": "Apple", "value": "apple"}]
        return {"type": 8, "data": {"choices": choices}}
    if event["type"] == 3:
        return {"type": 7, "data": {"content": f"{data['custom_id']} {' '.join(data.get('values', []))}".strip()}}
    if event["type"] == 5:
        given = [row["components"][0]["value"] for row in data["components"]]
        return {"type": 4, "data": {"content": f"Thanks, {given[0]}."}}
    return _to_command(event, data)


def _to_command(event: Json, data: Json) -> Json | None:
    told = {option["name"]: option["value"] for option in (data.get("options") or [{}])[0].get("options", ())}
    user = (event.get("member") or event)["user"]
    bodies: dict[str, Json | None] = {
        "ping": {"type": 4, "data": {"content": f"pong to {user['username']} {user['id']} in {event['locale']}"}},
        "panel": {"type": 4, "data": PANEL},
        "form": {"type": 9, "data": FORM},
        "slow": {"type": 5},
        "thinking": {"type": 5},
        "secret": {"type": 4, "data": PANEL | {"flags": 64}},
        "silent": None,
        "weather": {"type": 4, "data": V2},
        "nothing": {"type": 4, "data": {"embeds": [{"image": {"url": "https://example.com/i.png"}}]}},
        "rude": {"type": 4, "data": {"content": "\x1b[2J\x07bell"}},
        "stock": {"type": 4, "data": {"content": json.dumps(told)}},
        "Report": {"type": 4, "data": {"content": f"reported {data.get('target_id')}"}},
        "Who": {"type": 4, "data": {"content": f"it is {data.get('target_id')}"}},
    }
    return bodies[data["name"]]


class Bot:
    """A bot that answers as `answer_to` says, in a thread of its own, while the context lasts."""

    def __init__(self, url: str, key: str, name: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        made = httpx.post(f"{url}/sandbox/applications", json={"name": name}, headers=headers).json()
        self.url, self.name, self.id, self.token = url, name, made["id"], made["token"]
        self.api = f"{url}/api/v10"
        self._started: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = queue.Queue()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        headers = {"Authorization": f"Bot {self.token}"}
        httpx.put(f"{self.api}/applications/{self.id}/commands", headers=headers, json=COMMANDS).raise_for_status()
        self._thread.start()
        self._loop, self._task = self._started.get(timeout=PATIENCE_S)
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        task = asyncio.create_task(self._serve())
        self._started.put((asyncio.get_running_loop(), task))
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _serve(self) -> None:
        intents = GUILDS | GUILD_MESSAGES | PRIVATE_MESSAGES | CONTENT
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bot {self.token}"}) as http,
            http.ws_connect(f"{self.url}/gateway?v=10&encoding=json", heartbeat=None) as websocket,
            asyncio.TaskGroup() as tasks,
        ):
            await websocket.send_json({"op": 2, "d": {"token": self.token, "intents": intents, "properties": {}}})
            async for frame in websocket:
                payload = frame.json()
                if payload["op"] == 10:
                    tasks.create_task(self._beat(websocket, payload["d"]["heartbeat_interval"] / 1000))
                elif payload["t"] == "READY":
                    self._ready.set()
                elif payload["t"] == "INTERACTION_CREATE":
                    tasks.create_task(self._interact(http, payload["d"]))
                elif payload["t"] == "MESSAGE_CREATE" and not payload["d"]["author"]["bot"]:
                    tasks.create_task(self._reply(http, payload["d"]))

    async def _beat(self, websocket: aiohttp.ClientWebSocketResponse, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await websocket.send_json({"op": 1, "d": None})

    async def _interact(self, http: aiohttp.ClientSession, event: Json) -> None:
        body = answer_to(event)
        if body is None:
            return
        await self._call(http, "POST", f"/interactions/{event['id']}/{event['token']}/callback", body)
        if event["data"].get("name") == "slow":
            await asyncio.sleep(0.3)
            original = f"/webhooks/{self.id}/{event['token']}"
            await self._call(http, "PATCH", f"{original}/messages/@original", {"content": "done at last"})
            await self._call(http, "POST", original, {"content": "and more"})

    async def _reply(self, http: aiohttp.ClientSession, message: Json) -> None:
        body = {"content": f"you said {message['content']}", "message_reference": {"message_id": message["id"]}}
        await self._call(http, "POST", f"/channels/{message['channel_id']}/messages", body)

    async def _call(self, http: aiohttp.ClientSession, method: str, path: str, body: Json) -> None:
        async with http.request(method, self.api + path, json=body) as response:
            assert response.status < 300, await response.text()


@contextlib.contextmanager
def running_sandbox() -> Iterator[tuple[str, str]]:
    """Run `python -m sandbox`; yield its URL and its key."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--identify-interval-s", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        url, key = (process.stdout.readline().split()[-1] for _ in range(2))
        yield url, key
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
