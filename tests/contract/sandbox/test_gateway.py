import asyncio
import json
import time
import zlib

import aiohttp
import pytest
from aiohttp import WSMsgType

from sandbox import limits
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.conftest import GatewayClient, Sandbox


@pytest.mark.parametrize("compress", ["zlib-stream", "zstd-stream"])
async def test_identify_gets_hello_ready_and_guild_over_a_compressed_stream(sandbox: Sandbox, compress: str) -> None:
    _, token = await sandbox.application()
    client = await sandbox.gateway(f"?v=10&encoding=json&compress={compress}")
    assert (await client.receive())["op"] == 10
    await client.websocket.send_bytes(b'{"op":2,"d":{"token":"%s","intents":1,"properties":{}}}' % token.encode())
    ready = await client.event("READY")
    assert ready["resume_gateway_url"] == sandbox.url.replace("http", "ws") + "/gateway"
    assert await client.event("GUILD_CREATE")


async def test_large_payloads_come_compressed_to_a_client_that_asked_for_it(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    client = await sandbox.gateway()
    await client.send(2, {"token": token, "intents": 1, "properties": {}, "compress": True})
    await client.event("READY")
    await client.event("GUILD_CREATE")
    for size, type_ in ((10, WSMsgType.TEXT), (5000, WSMsgType.BINARY)):
        for session in sandbox.discord.sessions.of(application_id):
            session.dispatch("SOME_EVENT", {"text": "x" * size})
        message = await client.websocket.receive(timeout=5)
        assert message.type is type_
        text = message.data if type_ is WSMsgType.TEXT else zlib.decompress(message.data)
        assert json.loads(text)["d"] == {"text": "x" * size}


async def test_events_arrive_in_order_and_whole_at_a_client_that_reads_late(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    client = await sandbox.gateway("?v=10&encoding=json&compress=zstd-stream")
    await client.identify(token, intents=0)
    await client.event("READY")
    (session,) = sandbox.discord.sessions.of(application_id)
    for number in range(1500):
        session.dispatch("SOME_EVENT", {"n": number, "text": "x" * 2000})
    assert [(await client.event("SOME_EVENT"))["n"] for _ in range(1500)] == list(range(1500))


async def test_ping_is_answered_with_a_pong(sandbox: Sandbox) -> None:
    client = await sandbox.http.ws_connect(f"{sandbox.url}/gateway?v=10", autoping=False)
    sandbox.clients.append(client)
    await client.receive(timeout=5)
    await client.ping(b"x")
    message = await client.receive(timeout=5)
    assert (message.type, bytes(message.data)) == (WSMsgType.PONG, b"x")


async def test_close_without_a_code_is_answered_and_keeps_the_session(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    client = await sandbox.gateway()
    await client.identify(token)
    await client.event("READY")
    await client.websocket._writer.send_frame(b"", WSMsgType.CLOSE)
    assert await client.close_code() == 1000
    async with asyncio.timeout(5):
        while sandbox.discord.sessions.clients_of(application_id):  # noqa: ASYNC110 - nothing signals a detached session
            await asyncio.sleep(0.005)
    assert (await sandbox.control("GET", f"/applications/{application_id}"))["sessions_resumable"] == 1


async def test_control_sets_concurrency_and_guilds_per_shard(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    path = f"/applications/{application_id}/gateway"
    answer = await sandbox.control("POST", path, {"max_concurrency": 16, "shard_guilds_max": 0, "shards": 3})
    assert answer == {"max_concurrency": 16, "shard_guilds_max": 0, "shards": 3}
    status, gateway = await sandbox.rest("GET", "/gateway/bot", token)
    assert (status, gateway["shards"], gateway["session_start_limit"]["max_concurrency"]) == (200, 3, 16)
    client = await sandbox.gateway()
    await client.identify(token)
    assert await client.close_code() == 4011
    for body in ({"max_concurrency": 0}, {"shard_guilds_max": -1}, {"shards": 0}, {"other": 1}):
        assert (await sandbox.call("POST", f"/sandbox{path}", body))[0] == 422
    assert (await sandbox.call("POST", "/sandbox/applications/1/gateway", {}))[0] == 404


async def test_control_asks_for_a_heartbeat(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    client = await sandbox.gateway()
    await client.identify(token, intents=0)
    await client.event("READY")
    assert await sandbox.control("POST", f"/applications/{application_id}/heartbeat") == {"asked": 1}
    assert (await client.receive())["op"] == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"op": 2, "d": {"token": "a.b.c", "properties": {}}}', 4004),
        ("{", 4002),
        ('{"op": 77}', 4001),
        ("x" * 4097, 4002),
    ],
)
async def test_bad_frame_closes_with_discords_code(sandbox: Sandbox, frame: str, code: int) -> None:
    client = await sandbox.gateway()
    await client.websocket.send_str(frame)
    assert await client.close_code() == code


async def test_unknown_version_closes_with_4012(sandbox: Sandbox) -> None:
    assert await (await sandbox.gateway("?v=6")).close_code() == 4012


async def test_overrun_of_session_starts_closes_all_with_4004_and_resets_the_token(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await sandbox.control("POST", f"/applications/{application_id}/session-starts", {"remaining": 1})
    first, second = await sandbox.gateway(), await sandbox.gateway()
    await first.identify(token)
    await first.event("READY")
    await second.identify(token)
    assert (await first.close_code(), await second.close_code()) == (4004, 4004)
    assert (await sandbox.rest("GET", "/users/@me", token))[0] == 401
    _, renewed = await sandbox.application()
    assert (await sandbox.rest("GET", "/gateway/bot", renewed))[1]["session_start_limit"]["remaining"] == 1000


async def test_identify_interval_can_be_set_for_one_application(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await sandbox.control("POST", f"/applications/{application_id}/session-starts", {"identify_interval_s": 60})
    first, second = await sandbox.gateway(), await sandbox.gateway()
    await first.identify(token)
    await first.event("READY")
    await second.receive()
    await second.identify(token)
    assert (await second.receive())["op"] == 9


async def test_client_close_with_1000_ends_the_session_and_4000_keeps_it(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    for code, kept in ((1000, 0), (4000, 1)):
        client = await sandbox.gateway()
        await client.identify(token)
        await client.event("READY")
        await client.websocket.close(code=code)
        async with asyncio.timeout(5):
            while sandbox.discord.sessions.clients_of(application_id):  # noqa: ASYNC110 - nothing signals a detached session
                await asyncio.sleep(0.005)
        assert (await sandbox.control("GET", f"/applications/{application_id}"))["sessions_resumable"] == kept


async def test_client_that_reads_nothing_is_cut_off_and_may_resume(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    client = await sandbox.gateway()
    await client.identify(token, intents=0)
    await client.event("READY")
    (session,) = sandbox.discord.sessions.of(application_id)
    sent = 0
    async with asyncio.timeout(10):
        while session.client is not None:
            session.dispatch("SOME_EVENT", {"text": "x" * 100_000})
            sent += 1
            await asyncio.sleep(0)
    assert sent * 100_000 > limits.OUTBOX_MAX_BYTES
    assert (await sandbox.control("GET", f"/applications/{application_id}"))["sessions_resumable"] == 1


async def test_client_that_never_beats_is_closed_with_4009() -> None:
    rules = Rules(heartbeat_interval_ms=40)
    discord = LocalDiscord(Mint(b"a secret of the tests"), time.monotonic, rules)
    async with serve(discord, "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        client = GatewayClient(await http.ws_connect(f"{url}/gateway?v=10"))
        assert (await client.receive())["d"]["heartbeat_interval"] == 40
        assert await client.close_code() == 4009


async def test_plain_http_is_asked_to_upgrade(sandbox: Sandbox) -> None:
    async with sandbox.http.get(f"{sandbox.url}/gateway") as response:
        assert response.status == 426
