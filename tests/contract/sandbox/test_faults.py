"""Each kind of fault, over real sockets."""

import asyncio
import base64
import json
import os
import time
from typing import Any

import aiohttp
import pytest

from sandbox.gateway.session import Session
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.conftest import GatewayClient, Sandbox


async def add(sandbox: Sandbox, kind: str, **fields: Any) -> dict[str, Any]:
    status, entry = await sandbox.call("POST", "/sandbox/faults", {"kind": kind, **fields})
    assert status == 201, entry
    return dict(entry)


async def connected(sandbox: Sandbox, name: str = "alpha", intents: int = 0) -> tuple[GatewayClient, str, str, str]:
    """Return a client that is READY, its application's id, its token and its session's id."""
    application_id, token = await sandbox.application(name)
    client = await sandbox.gateway()
    await client.identify(token, intents)
    ready = await client.event("READY")
    return client, application_id, token, ready["session_id"]


def session_of(sandbox: Sandbox, session_id: str) -> Session:
    session = sandbox.discord.sessions.get(session_id, sandbox.discord.clock())
    assert session is not None
    return session


async def resume(sandbox: Sandbox, token: str, session_id: str, seq: int) -> GatewayClient:
    client = await sandbox.gateway()
    await client.receive()
    await client.send(6, {"token": token, "session_id": session_id, "seq": seq})
    return client


async def acknowledged(client: GatewayClient) -> bool:
    """Return whether a heartbeat is the next thing to be answered, in 0.3 s."""
    await client.send(1, None)
    try:
        return bool((await asyncio.wait_for(client.receive(), 0.3))["op"] == 11)
    except TimeoutError:
        return False


async def test_fault_is_answered_with_its_values_listed_and_removed(sandbox: Sandbox) -> None:
    application_id, _ = await sandbox.application()
    entry = await add(sandbox, "no_acks", applications=[application_id], for_s=60)
    assert (entry["state"], entry["applications"], entry["probability"]) == ("active", [application_id], 1.0)
    assert isinstance(entry["seed"], int)
    later = await add(sandbox, "drop", after_s=60, seed=7)
    assert (later["state"], later["seed"], later["every_s"]) == ("scheduled", 7, None)
    assert [item["id"] for item in (await sandbox.control("GET", "/faults"))["items"]] == [entry["id"], later["id"]]
    assert (await sandbox.control("DELETE", f"/faults/{entry['id']}"))["state"] == "over"
    assert len((await sandbox.control("DELETE", "/faults"))["items"]) == 1
    assert (await sandbox.control("GET", "/faults"))["items"] == []
    assert len((await sandbox.control("GET", "/faults/kinds"))["items"]) == 20


async def test_seed_is_logged_so_that_it_can_be_repeated(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    entry = await add(sandbox, "drop")
    assert f"drop with seed {entry['seed']}" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/faults", {"kind": "earthquake"}, 422, "invalid_fault"),
        ("POST", "/faults", {"kind": "drop", "applications": ["1"]}, 404, "unknown_application"),
        ("DELETE", "/faults/9", None, 404, "unknown_fault"),
        ("DELETE", "/faults/x", None, 404, "unknown_fault"),
    ],
)
async def test_fault_there_is_not_gets_a_clear_error(
    sandbox: Sandbox, method: str, path: str, body: Any, status: int, code: str
) -> None:
    got, answer = await sandbox.call(method, f"/sandbox{path}", body)
    assert (got, answer["error"]["code"]) == (status, code)


async def test_body_that_is_no_json_gets_a_clear_error(sandbox: Sandbox) -> None:
    headers = {**sandbox.key, "Content-Type": "application/json"}
    async with sandbox.http.post(f"{sandbox.url}/sandbox/faults", data=b"{", headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_json")


# REST


async def test_latency_delays_the_route_it_names_only(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    await add(sandbox, "rest_latency", ms=200, jitter_ms=50, route="GET /users/")
    began = time.monotonic()
    assert (await sandbox.rest("GET", "/users/@me", token))[0] == 200
    assert time.monotonic() - began >= 0.2
    began = time.monotonic()
    assert (await sandbox.rest("GET", "/applications/@me", token))[0] == 200
    assert time.monotonic() - began < 0.2


@pytest.mark.parametrize(("status", "content"), [(500, "json"), (502, "html"), (503, "json"), (504, "html")])
async def test_server_errors_have_discords_shape(sandbox: Sandbox, status: int, content: str) -> None:
    application_id, token = await sandbox.application()
    _, other = await sandbox.application("beta")
    await add(sandbox, "rest_error", status=status, applications=[application_id])
    headers = {"Authorization": f"Bot {token}"}
    async with sandbox.http.get(f"{sandbox.url}/api/v10/users/@me", headers=headers) as response:
        assert response.status == status
        assert content in response.content_type
        if content == "json":
            assert (await response.json())["code"] == 0
    assert (await sandbox.rest("GET", "/users/@me", other))[0] == 200
    assert (await sandbox.control("GET", "/faults"))["items"][0]["struck"] == 1


@pytest.mark.parametrize("scope", ["user", "shared", "global"])
async def test_429_has_discords_headers_and_body(sandbox: Sandbox, scope: str) -> None:
    _, token = await sandbox.application()
    await add(sandbox, "rest_429", scope=scope, retry_after_s=1.5)
    headers = {"Authorization": f"Bot {token}"}
    async with sandbox.http.get(f"{sandbox.url}/api/v10/users/@me", headers=headers) as response:
        body = await response.json()
        assert (response.status, response.headers["Retry-After"]) == (429, "2")
        assert response.headers["X-RateLimit-Scope"] == scope
        assert (body["retry_after"], body["global"]) == (1.5, scope == "global")
        assert ("X-RateLimit-Bucket" in response.headers) == (scope != "global")
        assert ("X-RateLimit-Global" in response.headers) == (scope == "global")


async def test_429_has_a_buckets_headers_as_asked(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    for scope in ("user", "global"):
        for bucket in (True, False):
            await sandbox.control("DELETE", "/faults")
            await add(sandbox, "rest_429", scope=scope, bucket=bucket)
            headers = {"Authorization": f"Bot {token}"}
            async with sandbox.http.get(f"{sandbox.url}/api/v10/users/@me", headers=headers) as response:
                assert ("X-RateLimit-Bucket" in response.headers) == bucket
                assert response.headers["X-RateLimit-Scope"] == scope


async def test_cloudflares_429_is_no_json_and_has_not_passed_discord(sandbox: Sandbox) -> None:
    await add(sandbox, "rest_edge_429", retry_after_s=7)
    async with sandbox.http.get(f"{sandbox.url}/api/v10/users/@me") as response:
        assert (response.status, response.headers["Retry-After"], response.content_type) == (429, "7", "text/plain")
        assert not {"Via", "X-RateLimit-Scope"} & set(response.headers)
        assert "1015" in await response.text()
    (address,) = (await sandbox.control("GET", "/addresses"))["items"]
    assert address["invalid_requests"] == 1


async def test_half_an_answer_can_be_left_standing(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    await add(sandbox, "rest_truncated", stall=True)
    with pytest.raises(TimeoutError):
        await sandbox.call("GET", "/api/v10/users/@me", None, token, timeout=aiohttp.ClientTimeout(total=0.3))


@pytest.mark.parametrize(("code", "status"), [(0, 401), (40001, 401), (50001, 403), (50013, 403), (50027, 401)])
async def test_refusals_that_a_bot_must_tell_apart_count_as_invalid(sandbox: Sandbox, code: int, status: int) -> None:
    application_id, token = await sandbox.application()
    await add(sandbox, "rest_refused", code=code, applications=[application_id])
    got, error = await sandbox.rest("GET", "/users/@me", token)
    assert (got, error["code"]) == (status, code)
    (address,) = (await sandbox.control("GET", "/addresses"))["items"]
    assert address["by_application"] == {application_id: {str(status): 1}}


async def test_webhook_path_tells_the_application(sandbox: Sandbox) -> None:
    application_id, _ = await sandbox.application()
    await add(sandbox, "rest_error", applications=[application_id])
    assert (await sandbox.rest("POST", f"/webhooks/{application_id}/aToken", body={}))[0] == 500
    assert (await sandbox.rest("POST", "/webhooks/1/aToken", body={}))[0] == 404


async def test_interaction_path_tells_the_application(sandbox: Sandbox) -> None:
    client, application_id, token, _ = await connected(sandbox)
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, [{"name": "ping", "description": "d"}])
    path = f"/applications/{application_id}/interactions"
    outcome = await sandbox.control("POST", path, {"command": "ping", "wait_ms": 0})
    event = await client.event("INTERACTION_CREATE")
    await add(sandbox, "rest_error", applications=[application_id], status=503)
    callback = f"/interactions/{outcome['interaction_id']}/{event['token']}/callback"
    assert (await sandbox.rest("POST", callback, body={"type": 5}))[0] == 503
    await sandbox.control("DELETE", "/faults")
    assert (await sandbox.rest("POST", callback, body={"type": 5}))[0] == 204


async def test_rest_can_be_down_while_the_gateway_lives(sandbox: Sandbox) -> None:
    client, _, token, _ = await connected(sandbox)
    await add(sandbox, "rest_down")
    with pytest.raises(aiohttp.ClientConnectionError):
        await sandbox.rest("GET", "/users/@me", token)
    assert await acknowledged(client)
    await sandbox.control("DELETE", "/faults")
    assert (await sandbox.rest("GET", "/users/@me", token))[0] == 200


async def test_truncated_answer_comes_after_the_request_was_carried_out(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    channel = (await sandbox.control("GET", f"/applications/{application_id}"))["channel_id"]
    await add(sandbox, "rest_truncated", route="POST /channels/")
    with pytest.raises(aiohttp.ClientPayloadError):
        await sandbox.rest("POST", f"/channels/{channel}/messages", token, {"content": "hello"})
    _, messages = await sandbox.rest("GET", f"/channels/{channel}/messages", token)
    assert [message["content"] for message in messages] == ["hello"]
    await add(sandbox, "rest_truncated", route="DELETE /channels/")
    with pytest.raises(aiohttp.ClientError):  # it has no body to cut; aiohttp asks a second time by itself
        await sandbox.rest("DELETE", f"/channels/{channel}/messages/{messages[0]['id']}", token)
    assert (await sandbox.rest("GET", f"/channels/{channel}/messages", token))[1] == []


async def test_same_seed_fails_the_same_requests(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    runs = []
    for _ in range(2):
        entry = await add(sandbox, "rest_error", probability=0.5, seed=11)
        runs.append([(await sandbox.rest("GET", "/users/@me", token))[0] for _ in range(12)])
        await sandbox.control("DELETE", f"/faults/{entry['id']}")
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


# Gateway


async def raw_websocket(sandbox: Sandbox, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a bare TCP connection that has upgraded and identified, so that resets and halves can be seen."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /gateway?v=10 HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode())
    await reader.readuntil(b"\r\n\r\n")
    body = json.dumps({"op": 2, "d": {"token": token, "intents": 0, "properties": {}}}).encode()
    writer.write(bytes([0x81, 0x80 | 126]) + len(body).to_bytes(2) + bytes(4) + body)
    await reader.readuntil(b'"READY"')
    return reader, writer


async def test_drop_resets_the_tcp_connection(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    reader, writer = await raw_websocket(sandbox, token)
    await add(sandbox, "drop", applications=[application_id])
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_truncated_frame_is_half_there_when_the_connection_ends(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    reader, writer = await raw_websocket(sandbox, token)
    await add(sandbox, "truncated_frame")
    rest = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    frame = rest[rest.index(b'{"t":null,"s":null,"op":1') - 4 :]
    assert frame[:2] == b"\x81\x7e"
    assert 0 < len(frame) - 4 < int.from_bytes(frame[2:4])


async def test_half_open_connection_stays_silent_and_its_session_can_be_resumed(sandbox: Sandbox) -> None:
    client, _, token, session_id = await connected(sandbox)
    await add(sandbox, "half_open")
    session_of(sandbox, session_id).dispatch("MISSED", {})
    assert not await acknowledged(client)
    assert not client.websocket.closed
    successor = await resume(sandbox, token, session_id, 1)
    assert [(await successor.receive())["t"] for _ in range(2)] == ["MISSED", "RESUMED"]
    assert not await acknowledged(client)


async def test_half_open_session_is_let_go_when_its_heartbeats_are_missed() -> None:
    discord = LocalDiscord(Mint(b"a secret of the tests"), time.monotonic, Rules(heartbeat_interval_ms=600))
    async with serve(discord, "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        sandbox = Sandbox(url, http, discord)
        client, application_id, _, session_id = await connected(sandbox)
        await add(sandbox, "half_open")
        async with asyncio.timeout(5):
            while discord.sessions.clients_of(application_id):  # noqa: ASYNC110 - nothing signals a detached session
                await asyncio.sleep(0.005)
        assert discord.sessions.get(session_id, discord.clock()) is not None
        with pytest.raises(TimeoutError):
            await client.websocket.receive(timeout=0.3)
        assert client.websocket._conn is not None
        client.websocket._conn.close()


async def test_reconnect_asks_with_op_7_in_waves(sandbox: Sandbox) -> None:
    client, _, _, _ = await connected(sandbox)
    await add(sandbox, "reconnect", every_s=0.05, for_s=5)
    assert [(await client.receive())["op"] for _ in range(3)] == [7, 7, 7]
    await sandbox.control("DELETE", "/faults")
    assert await acknowledged(client)


@pytest.mark.parametrize("resumable", [True, False])
async def test_invalid_session_says_whether_it_may_be_resumed(sandbox: Sandbox, resumable: bool) -> None:
    client, _, token, session_id = await connected(sandbox)
    await add(sandbox, "invalid_session", resumable=resumable)
    payload = await client.receive()
    assert (payload["op"], payload["d"]) == (9, resumable)
    await client.websocket.close(code=4000)
    successor = await resume(sandbox, token, session_id, 1)
    assert (await successor.receive())["op"] == (0 if resumable else 9)


async def test_close_strikes_the_applications_it_names(sandbox: Sandbox) -> None:
    client, application_id, _, _ = await connected(sandbox)
    other, _, _, _ = await connected(sandbox, "beta")
    entry = await add(sandbox, "close", code=4008, applications=[application_id])
    assert await client.close_code() == 4008
    assert await acknowledged(other)
    assert (entry["state"], entry["struck"]) == ("over", 1)


async def test_no_acks_leaves_events_coming_and_holds_for_new_connections(sandbox: Sandbox) -> None:
    client, _, token, session_id = await connected(sandbox)
    entry = await add(sandbox, "no_acks")
    assert not await acknowledged(client)
    client, _, _, session_id = await connected(sandbox)
    session_of(sandbox, session_id).dispatch("SOME_EVENT", {})
    assert not (await client.event("SOME_EVENT"))
    client = await resume(sandbox, token, session_id, 2)
    await client.event("RESUMED")
    assert not await acknowledged(client)
    await sandbox.control("DELETE", f"/faults/{entry['id']}")
    client = await resume(sandbox, token, session_id, 3)
    await client.event("RESUMED")
    assert await acknowledged(client)


@pytest.mark.parametrize("keep", [True, False])
async def test_deaf_session_is_acknowledged_and_gets_nothing(sandbox: Sandbox, keep: bool) -> None:
    client, _, token, session_id = await connected(sandbox)
    await add(sandbox, "deaf", keep=keep)
    session_of(sandbox, session_id).dispatch("MISSED", {})
    assert await acknowledged(client)
    successor = await resume(sandbox, token, session_id, 1)
    assert [(await successor.receive())["t"] for _ in range(1 + keep)][-1] == "RESUMED"
    session_of(sandbox, session_id).dispatch("STILL_DEAF", {})
    assert await acknowledged(successor)
    fresh, _, _, new_id = await connected(sandbox)
    session_of(sandbox, new_id).dispatch("HEARD", {})
    assert await fresh.event("HEARD") == {}


async def test_deaf_session_can_heal_on_resume_or_when_the_fault_ends(sandbox: Sandbox) -> None:
    client, _, token, session_id = await connected(sandbox)
    await add(sandbox, "deaf", heals_on="resume")
    client = await resume(sandbox, token, session_id, 1)
    await client.event("RESUMED")
    session_of(sandbox, session_id).dispatch("HEARD", {})
    assert await client.event("HEARD") == {}
    await add(sandbox, "deaf", for_s=0.05)
    async with asyncio.timeout(5):
        while session_of(sandbox, session_id).deafness is not None:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.005)
    session_of(sandbox, session_id).dispatch("HEARD", {})
    assert await client.event("HEARD") == {}


async def test_slow_frames_arrive_slowly_and_whole(sandbox: Sandbox) -> None:
    client, _, _, session_id = await connected(sandbox)
    await add(sandbox, "slow_frames", bytes_per_s=10_000)
    began = time.monotonic()
    for number in range(3):
        session_of(sandbox, session_id).dispatch("SOME_EVENT", {"n": number, "text": "x" * 1000})
    assert [(await client.event("SOME_EVENT"))["n"] for _ in range(3)] == [0, 1, 2]
    assert time.monotonic() - began > 0.2
    await sandbox.control("DELETE", "/faults")
    assert await acknowledged(client)


async def test_refused_resume_ends_the_session(sandbox: Sandbox) -> None:
    _, application_id, token, session_id = await connected(sandbox)
    await add(sandbox, "refuse_resume", applications=[application_id])
    client = await resume(sandbox, token, session_id, 1)
    payload = await client.receive()
    assert (payload["op"], payload["d"]) == (9, False)
    assert sandbox.discord.sessions.of(application_id) == []


async def test_gateway_can_be_out_of_reach(sandbox: Sandbox) -> None:
    client, _, _, _ = await connected(sandbox)
    await add(sandbox, "refuse_connections")
    with pytest.raises(aiohttp.ClientConnectionError):
        await sandbox.gateway()
    assert await acknowledged(client)


async def test_gateway_can_be_out_of_reach_for_one_application(sandbox: Sandbox) -> None:
    application_id, token = await sandbox.application()
    await add(sandbox, "refuse_connections", applications=[application_id])
    client = await sandbox.gateway()
    await client.receive()
    await client.identify(token)
    assert await client.close_code() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
    await connected(sandbox, "beta")


async def test_token_reset_closes_with_4004_and_voids_the_token(sandbox: Sandbox) -> None:
    client, application_id, token, _ = await connected(sandbox)
    other, _, _, _ = await connected(sandbox, "beta")
    await add(sandbox, "token_reset", applications=[application_id])
    assert await client.close_code() == 4004
    assert (await sandbox.rest("GET", "/users/@me", token))[0] == 401
    assert await acknowledged(other)


async def test_revoked_intents_close_with_4014_for_as_long_as_they_are(sandbox: Sandbox) -> None:
    plain, _, _, _ = await connected(sandbox)
    client, _, token, _ = await connected(sandbox, "beta", intents=1 << 15)
    await add(sandbox, "intents_revoked")
    assert await client.close_code() == 4014
    assert await acknowledged(plain)
    client = await sandbox.gateway()
    await client.identify(token, intents=1 << 15)
    assert await client.close_code() == 4014
    await sandbox.control("DELETE", "/faults")
    await connected(sandbox, "beta", intents=1 << 15)


async def test_same_seed_closes_the_same_bots(sandbox: Sandbox) -> None:
    runs = []
    for _ in range(2):
        clients = [await connected(sandbox, f"bot-{number}") for number in range(8)]
        await add(sandbox, "invalid_session", probability=0.5, seed=3)
        runs.append({client[1] for client in clients if not sandbox.discord.sessions.of(client[1])})
        for client in clients:
            await client[0].websocket.close()
        async with asyncio.timeout(5):
            while sandbox.discord.sessions.everyone():  # noqa: ASYNC110 - nothing signals a session's end
                await asyncio.sleep(0.005)
    assert runs[0] == runs[1]
    assert 0 < len(runs[0]) < 8
