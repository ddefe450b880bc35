"""What a hostile or broken client sends beside well-formed REST: the sandbox answers, and never fails itself.

Seeded like tests/judges/test_fuzz.py; nothing here needs Discord's description.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.conftest import GatewayClient, Sandbox
from tests.judges import scene
from tests.judges.generator import HOSTILE, Generator, as_json

SEED = int(os.environ.get("FUZZ_SEED", "20260801"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "16"))
_UNLIMITED = {"routes": False, "global": False, "hidden": False, "invalid_requests": False}
_APPLICATION = "/applications/{application_id}"
CONTROL: list[tuple[str, str, Any]] = [
    ("POST", "/applications", {"name": "gamma"}),
    ("GET", _APPLICATION, None),
    ("POST", _APPLICATION + "/close", {"code": 4000}),
    ("POST", _APPLICATION + "/reconnect", {}),
    ("POST", _APPLICATION + "/intents", {"refuse": False}),
    ("POST", _APPLICATION + "/session-starts", {"remaining": 1000, "identify_interval_s": 0.0}),
    ("POST", _APPLICATION + "/oauth2", {"redirect_uris": ["https://example.com/back"]}),
    ("POST", "/consents", {"application_id": "{application_id}", "allow": True, "user": {"username": "u"}}),
    ("POST", _APPLICATION + "/interactions", {"command": "ping", "options": {"text": "x"}, "wait_ms": 0}),
    ("POST", _APPLICATION + "/interactions", {"command": "Look", "on": "user", "target_id": "{user_id}", "wait_ms": 0}),
    ("POST", _APPLICATION + "/interactions", {"command": "ping", "dm": True, "user": {"id": "77"}, "wait_ms": 0}),
    ("GET", _APPLICATION + "/interactions/{interaction_id}", None),
    ("POST", _APPLICATION + "/autocomplete", {"command": "ping", "focused": "text", "wait_ms": 0}),
    (
        "POST",
        _APPLICATION + "/components",
        {"message_id": "{message_id}", "custom_id": "go", "channel_id": "{channel_id}", "wait_ms": 0, "values": None},
    ),
    ("POST", _APPLICATION + "/modals", {"interaction_id": "{interaction_id}", "fields": {"t": "v"}, "wait_ms": 0}),
    ("POST", _APPLICATION + "/dm", {"content": "x", "user": {"username": "u"}}),
    ("POST", "/channels/{channel_id}/messages", {"content": "x", "reply_to": "{message_id}"}),
    ("GET", "/channels/{channel_id}/messages", None),
    ("POST", "/channels/{channel_id}/messages/{message_id}/reactions", {"emoji": "👍", "user": {"id": "{user_id}"}}),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions", {"emoji": "👍", "user": {"id": "{user_id}"}}),
    (
        "POST",
        "/guilds",
        {"name": "g", "applications": ["{application_id}"], "members": 2, "roles": ["r"], "count": 2},
    ),
    ("PATCH", "/guilds/{guild_id}", {"name": "g"}),
    (
        "POST",
        "/guilds/{guild_id}/channels",
        {"name": "c", "type": "text", "topic": "t", "overwrites": [{"id": "{role_id}", "allow": 0, "deny": "8"}]},
    ),
    ("PATCH", "/channels/{channel_id}", {"name": "c", "overwrites": [{"id": "{role_id}", "type": 0}]}),
    ("POST", "/guilds/{guild_id}/members", {"user": {"id": "78", "username": "n"}, "roles": ["{role_id}"]}),
    ("PATCH", "/guilds/{guild_id}/members/{user_id}", {"roles": ["{role_id}"], "nick": "n"}),
    ("POST", "/guilds/{guild_id}/roles", {"name": "r", "permissions": 8}),
    ("PATCH", "/guilds/{guild_id}/roles/{role_id}", {"name": "r", "permissions": 8}),
    ("POST", "/users", {"username": "u"}),
    ("POST", "/clock", {"advance_s": 0.5}),
    ("POST", "/faults", {"kind": "rest_latency", "ms": 0, "after_s": 3600, "for_s": 1, "probability": 0.5, "seed": 3}),
    ("POST", "/faults", {"kind": "drop", "after_s": 3600, "every_s": 5, "applications": ["{application_id}"]}),
    ("POST", "/limits", {"invalid_requests_max": 10_000, "ban_s": 1.0, "hidden": False}),
    ("POST", "/addresses/192.0.2.1", {"invalid_requests": 3, "ban_s": 5.0}),
    ("GET", "/addresses", None),
    ("GET", "/faults", None),
    ("GET", "/applications", None),
]

# What a scene does not hold: an answer with a modal, a reaction to take back.
NEEDS_MORE = {
    ("POST", _APPLICATION + "/modals"),
    ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions"),
}


@pytest.fixture
async def bare() -> AsyncIterator[Sandbox]:
    """A sandbox without a tap: nobody judges what is nonsense from the start."""
    discord = LocalDiscord(Mint(b"a secret of the tests"), time.time, Rules(identify_interval_s=0))
    async with serve(discord, "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        running = Sandbox(url, http, discord)
        await running.control("POST", "/limits", _UNLIMITED)
        yield running
        for client in running.clients:
            await client.close()
    assert not discord.failures.total, "\n".join(each["stack"] for each in discord.failures.kept)


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> Random:
    sys.stdout.write(f"FUZZ_SEED={SEED}\n")
    return Random(f"{SEED} {request.node.name}")


def _filled(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, names) for value in node]
    return names.get(node[1:-1], node) if isinstance(node, str) and node.startswith("{") else node


@pytest.mark.parametrize(("method", "path", "body"), CONTROL)
async def test_control_call_at_random_says_what_is_wrong(
    bare: Sandbox, draw: Random, method: str, path: str, body: Any
) -> None:
    for number in range(ROUNDS):
        if number % 4 == 0:
            furnished = scene.furnish(bare.discord, answered=False)
            generator = Generator(None, draw, furnished.ids)
        names = dict(furnished.names)
        if number and draw.random() < 0.1:
            names = dict.fromkeys(names, draw.choice(("1", "x", "-1", "%00", "9" * 40, "@me")))
        filled = _filled(body, names)
        raw = as_json(filled if number == 0 or body is None else generator.mutated(filled))
        if number and body is not None and draw.random() < 0.1:
            raw = generator.hostile_body()
        url = f"{bare.url}/sandbox{path.format(**names)}"
        data, headers = (
            (raw, {**bare.key, "Content-Type": "application/json"}) if body is not None else (None, bare.key)
        )
        async with bare.http.request(method, url, data=data, headers=headers) as response:
            answer = await response.json()
            assert response.status < 500, (raw[:500], answer)
            assert number > 0 or response.status < 300 or (method, path) in NEEDS_MORE, answer
            assert response.status < 400 or answer["error"]["message"]


async def _send_mutated(client: GatewayClient, payload: Any, generator: Generator, draw: Random) -> None:
    """Send a frame made of a payload, as text or as bytes, unless the sandbox has closed the connection by now."""
    raw = as_json(generator.mutated(payload) if draw.random() < 0.8 else payload)
    if draw.random() < 0.1:
        raw = generator.hostile_body()
    with suppress(ConnectionError):
        if draw.random() < 0.3:
            await client.websocket.send_bytes(raw)
        else:
            await client.websocket.send_str(raw.decode(errors="replace"))


async def test_gateway_frame_at_random_closes_with_a_code_of_discords(bare: Sandbox, draw: Random) -> None:
    furnished = scene.furnish(bare.discord)
    generator = Generator(None, draw, furnished.ids)
    identify = {
        "token": furnished.token,
        "intents": 513,
        "properties": {"os": "x"},
        "shard": [0, 1],
        "compress": False,
        "large_threshold": 50,
        "presence": {"since": None, "status": "online", "afk": False, "activities": []},
    }
    frames: list[tuple[int, Any]] = [
        (1, None),
        (2, identify),
        (3, {"since": None, "status": "online", "afk": False, "activities": [{"name": "n", "type": 0}]}),
        (4, {"guild_id": furnished.names["guild_id"], "channel_id": None, "self_mute": False, "self_deaf": False}),
        (6, {"token": furnished.token, "session_id": "5", "seq": 1}),
        (8, {"guild_id": furnished.names["guild_id"], "query": "", "limit": 0, "user_ids": ["1"], "nonce": "n"}),
        (8, {"guild_id": furnished.names["guild_id"], "query": "a", "limit": 5, "presences": True}),
        (31, {"guild_ids": [furnished.names["guild_id"]]}),
        (43, {"guild_id": furnished.names["guild_id"], "fields": ["status"]}),
        *((op, None) for op in (0, 7, 9, 10, 11, 12, 99, -1)),
    ]
    codes = set()
    for number in range(ROUNDS * 6):
        if number % 400 == 399:
            bare.discord.world.reset_token(furnished.application)
        client = await bare.gateway(f"?v=10&encoding=json{draw.choice(('', '&compress=zlib-stream'))}")
        identify["token"] = bare.discord.world.token_of(furnished.application)
        if draw.random() < 0.7:
            await client.send(2, identify)
        for _ in range(4):
            op, body = draw.choice(frames)
            await _send_mutated(client, {"op": op, "d": body}, generator, draw)
        await client.websocket.close()
        codes.add(client.websocket.close_code)
    assert codes <= {None, 1000, 1006, *range(4001, 4015)}, codes
    assert len(codes) > 3


BOUNDARY = "b"
_HEAD = "Content-Disposition: form-data; name="
_MANY = b"".join(f'--b\r\n{_HEAD}"files[{n}]"; filename="{n}"\r\n\r\n{n}\r\n'.encode() for n in range(1_500))
FORMS = [
    b"",
    b"--b",
    b"--b\r\n",
    b"--b--",
    b"--b\r\n\r\n--b--",
    b"--x\r\n\r\n--x--",
    f'--b\r\n{_HEAD}"payload_json"\r\n\r\n{{}}\r\n'.encode(),
    f'--b\r\n{_HEAD}"payload_json"\r\n\r\n[1]\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"payload_json"; filename="p.json"\r\n\r\n{{"content": "x"}}\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"files[x]"; filename=""\r\n\r\nx\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"files[-1]"; filename="../../etc/passwd"\r\n\r\nx\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"files[0]"; filename*=UTF-8\'\'%ff\r\n\r\nx\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"files[0]"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"files[0]"; filename="a"\r\nContent-Transfer-Encoding: nonsense\r\n\r\nx\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"files[0]"; filename="a"\r\nContent-Encoding: gzip\r\n\r\nx\r\n--b--\r\n'.encode(),
    f'--b\r\n{_HEAD}"content"\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nx\r\n--b--\r\n'.encode(),
    b"--b\r\nContent-Disposition: nonsense\r\n\r\nx\r\n--b--\r\n",
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    b"--b\r\nContent-Type: multipart/mixed\r\n\r\nx\r\n--b--\r\n",
    _MANY + b"--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="payload_json"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    b"--b\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\nx\r\n--b--\r\n",
]  # fmt: skip
CONTENT_TYPES = [
    'multipart/form-data; boundary="b"',
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 200,
    "application/x-www-form-urlencoded",
    "application/json; charset=nonsense",
    "text/plain",
    ";;;",
]


@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam")
@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_broken_forms_are_refused(bare: Sandbox, content_type: str) -> None:
    furnished = scene.furnish(bare.discord)
    names, headers = furnished.names, {"Authorization": f"Bot {furnished.token}", "Content-Type": content_type}
    statuses = set()
    for path in ("/channels/{channel_id}/messages", "/webhooks/{webhook_id}/{webhook_token}", "/users/@me/channels"):
        for form in (*FORMS, b"content=x&tts=maybe", b"payload_json=%7B&content=x", b"payload_json=%FF", b"%", b"&&=&"):
            url = f"{bare.url}/api/v10{path.format(**names)}"
            async with bare.http.post(url, data=form, headers=headers) as response:
                assert response.status < 500, (form[:200], await response.text())
                statuses.add(response.status)
    assert 400 in statuses


async def test_url_encoded_form_posts_through_a_webhook(bare: Sandbox) -> None:
    names = scene.furnish(bare.discord).names
    url = f"{bare.url}/api/v10/webhooks/{names['webhook_id']}/{names['webhook_token']}?wait=true"
    for form in ({"content": "x", "username": "w", "tts": "true"}, {"payload_json": '{"content": "x"}'}):
        async with bare.http.post(url, data=form) as response:
            assert (response.status, (await response.json())["content"]) == (200, "x")


_RAW = [
    b"GET /api/v10/users/@me HTTP/1.1\r\nHost: x\r\nAuthorization: Bot %b\r\n\r\n",
    b"GET /api/v10/users/%%00%%ff HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n",
    b"GET /api/v10/users/@me?%%ff=%%00&a&&= HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n",
    b"POST /api/v10/users/@me/channels HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX: %b\r\n\r\nzz\r\n",
    b"POST /sandbox/users HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n%b",
    b"POST /sandbox/users HTTP/1.1\r\nHost: here\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc%b",
    b"POST /sandbox/users HTTP/1.1\r\nHost: here\r\nContent-Length: 99\r\n\r\nabc%b",
    b"GET /sandbox/users HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n\r\n",
    b"GET /sandbox/users HTTP/1.1\r\nHost: %b\r\n\r\n",
    b"GET /gateway?v=%%ff&encoding=\x01 HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n",
    b"GET /gateway HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %b\r\n\r\n",
    b"GET /oauth2/authorize?client_id=%%ff&scope=%%00 HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n",
    b"GET /attachments/1/2/%%ff HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n",
    b"BREW /api/v10/users/@me HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n",
    b"GET /api/v10/%b HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip


async def test_garbage_in_headers_and_paths_is_answered(bare: Sandbox) -> None:
    token = scene.furnish(bare.discord).token.encode()
    garbage = (
        b"",
        token,
        b".",
        b"..",
        b"\xff\xfe",
        b"a.b.c",
        b"=" * 50,
        b"MTIz.MTIz.MTIz",
        b"Basic " + b"x" * 90,
        b"%20",
    )
    address = urlsplit(bare.url)
    here = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: {bare.key['Authorization']}".encode()
    for template in (each.replace(b"Host: here", here) for each in _RAW):
        for value in garbage:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(template % value)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(4_096), 5)
            assert not answer.startswith(b"HTTP/1.1 5"), (template, value, answer)
            writer.close()
            await writer.wait_closed()


async def test_form_of_the_authorization_page_may_be_anything(bare: Sandbox, draw: Random) -> None:
    names = scene.furnish(bare.discord).names
    settings = {"redirect_uris": ["https://example.com/back"]}
    await bare.control("POST", f"/applications/{names['application_id']}/oauth2", settings)
    query = {"client_id": names["application_id"], "scope": "identify", "response_type": "code", "prompt": "none"}
    hostile = [each for each in HOSTILE if isinstance(each, str)] + [json.dumps(each)[:200] for each in HOSTILE[:20]]
    for _ in range(ROUNDS * 4):
        asked = query | {
            draw.choice([*query, "state", "redirect_uri"]): draw.choice(hostile).encode(errors="replace").decode()
        }
        form = {key: draw.choice(hostile).encode(errors="replace").decode() for key in ("username", "decision")}
        for method in ("GET", "POST"):
            url = f"{bare.url}/oauth2/authorize"
            data = form if method == "POST" else None
            async with bare.http.request(
                method, url, params={k: v[:900] for k, v in asked.items()}, data=data, allow_redirects=False
            ) as response:
                assert response.status < 500
        grant = {
            "grant_type": draw.choice(("refresh_token", "authorization_code", "client_credentials", *hostile)),
            "code": draw.choice(hostile),
            "refresh_token": draw.choice(hostile),
            "scope": draw.choice(hostile),
        }
        grant = {key: value.encode(errors="replace").decode() for key, value in grant.items()}
        async with bare.http.post(f"{bare.url}/api/v10/oauth2/token", data=grant) as response:
            assert response.status < 500
