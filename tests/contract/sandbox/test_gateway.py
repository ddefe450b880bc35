import asyncio
import time

import aiohttp
import pytest

from sandbox import limits
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.conftest import GatewayClient, Sandbox


async def test_identify_gets_hello_ready_and_guild_over_zlib_stream(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    client = await sandbox.gateway("?v=10&encoding=json&compress=zlib-stream")
    assert (await client.receive())["op"] == 10
    await client.websocket.send_bytes(b'{"op":2,"d":{"token":"%s","intents":1}}' % token.encode())
    ready = await client.event("READY")
    assert ready["resume_gateway_url"] == sandbox.url.replace("http", "ws") + "/gateway"
    assert await client.event("GUILD_CREATE")


@pytest.mark.parametrize(
    ("frame", "code"),
    [('{"op": 2, "d": {"token": "a.b.c", "intents": 0}}', 4004), ("{", 4002), ('{"op": 77}', 4001), ("x" * 4097, 4002)],
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


async def test_client_that_reads_nothing_is_cut_off(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTBOX_MAX_EFFECTS", 0)
    client = await sandbox.gateway()
    assert await client.close_code() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


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
