"""The judge that holds exchanges against Discord's description finds what is wrong, and only that."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sandbox.gateway.connection import Send
from sandbox.gateway.transport import Plain
from sandbox.gateway.wire import Wire
from tests.judges import description, deviations, events, exchanges
from tests.judges.description import Description
from tests.judges.exchanges import Exchange
from tests.judges.tap import Tap

USER: dict[str, Any] = {
    "id": "1",
    "username": "alpha",
    "avatar": None,
    "discriminator": "0000",
    "public_flags": 0,
    "flags": 0,
    "global_name": None,
    "primary_guild": None,
}
ME = USER | {"mfa_enabled": True, "locale": "en-US"}
LIMITED = {"message": "You are being rate limited.", "code": 0, "retry_after": 0.5, "global": False}
WEBHOOK = "/webhooks/1/token"


@pytest.fixture(scope="module")
def discords() -> Description:
    document = description.read()
    if document is None:
        pytest.skip(description.ABSENT)
    return Description(document)


def answered(method: str, path: str, status: int, answer: Any = None, **more: Any) -> Exchange:
    return Exchange(method, path, status, answer=b"" if answer is None else json.dumps(answer).encode(), **more)


def asked(method: str, path: str, body: Any, query: str = "", content_type: str = "application/json") -> Exchange:
    """Return a request that was accepted with a 204."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(method, path, 204, query=query, body=raw, content_type=content_type)


def multipart(payload: Any) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    parts = head % (b"payload_json", b"") + json.dumps(payload).encode() + b"\r\n"
    return parts + head % (b"files[0]", b'; filename="a.bin"') + b"\x00\xff\r\n--b--\r\n"


RIGHT = [
    answered("GET", "/users/@me", 200, ME),
    answered("GET", "/users/@me", 401, {"message": "401: Unauthorized", "code": 0}),
    answered("GET", "/users/@me", 429, LIMITED),
    answered("GET", "/users/7", 200, USER),
    answered("DELETE", "/channels/1/messages/2", 204),
    answered("GET", "/nowhere", 404, {"message": "404: Not Found", "code": 0}),
    answered("GET", "/users/@me", 502, {}, answer_type="text/html"),
    answered("GET", "/users/@me", 429, "error code: 1015", answer_type="text/plain"),
    answered("POST", "/oauth2/token", 200, {"access_token": "x"}),
    answered("POST", "/oauth2/token", 400, {"error": "invalid_grant"}),
    answered(
        "POST",
        "/channels/1/messages",
        400,
        {"message": "m", "code": 50035, "errors": {"content": {"_errors": [{"code": "X", "message": "m"}]}}},
        body=b'{"content": 1}',
    ),
    answered("GET", "/channels/1/messages", 200, [], query="limit=5&before=77"),
    asked("POST", WEBHOOK, {"content": "x"}, "wait=true"),
    asked(
        "POST",
        WEBHOOK,
        multipart({"content": "x", "attachments": [{"id": 0}]}),
        "",
        'multipart/form-data; boundary="b"',
    ),
    asked("DELETE", "/webhooks/1/token/messages/@original", b""),
    asked("PUT", "/channels/1/messages/2/reactions/%F0%9F%91%8D/@me", b""),
]
WRONG = [
    (answered("GET", "/users/@me", 200, USER), "answer: the whole: lacks mfa_enabled; lacks locale"),
    (answered("GET", "/users/@me", 200, ME | {"id": 1}), 'answer: id: it is not of type "string" (it is 1)'),
    (answered("GET", "/users/@me", 200, ME | {"flags": 2**60}), "answer: flags: it is greater than the maximum"),
    (answered("GET", "/users/@me", 200), "answer: it is not JSON"),
    (
        answered("GET", "/users/@me", 200, ME, answer_type="text/plain"),
        "answer: it is 'text/plain', not application/json",
    ),
    (answered("GET", "/users/@me", 201, ME), "the description knows no such status, only 200, 429, 4XX"),
    (answered("GET", "/users/@me", 401, {"error": "no"}), "answer: the whole: lacks code"),
    (answered("GET", "/users/@me", 429, {"message": "m", "code": 0}), "lacks retry_after"),
    (answered("GET", "/users/@me", 429, "x", answer_type="text/plain", headers={"via": "1.1 x"}), "it is 'text/plain'"),
    (answered("GET", "/nowhere", 404, {}), "answer: the whole: lacks code"),
    (answered("GET", "/nowhere", 200, {}), "answer: the description has no such operation"),
    (answered("DELETE", "/channels/1/messages/2", 204, {}), "answer: a body of 2 bytes, where there must be none"),
    (
        answered("GET", "/users/@me", 200, ME, headers={"x-ratelimit-remaining": "many"}),
        'header X-RateLimit-Remaining: the whole: it is not of type "integer" (it is "many")',
    ),
    (answered("GET", "/channels/1/messages", 200, [], query="limit=101"), "parameter limit: the whole: it is greater"),
    (answered("GET", "/channels/1/messages", 200, [], query="lim=1"), "parameter lim is none of this operation"),
    (answered("GET", "/channels/x/messages", 200, []), "parameter channel_id: the whole: it does not match"),
    (
        asked("POST", WEBHOOK, {"content": "x"}, "wait=perhaps"),
        'parameter wait: the whole: it is not of type "boolean"',
    ),
    (asked("POST", WEBHOOK, {"content": "x" * 2001}), "request: content: it is longer than 2000 characters"),
    (asked("POST", WEBHOOK, b"{"), "request: its JSON is broken"),
    (asked("POST", WEBHOOK, b""), "request: its body is missing"),
    (asked("POST", WEBHOOK, b"x", "", "text/plain"), "request: it is 'text/plain', not application/json"),
    (
        asked("POST", WEBHOOK, multipart({"embeds": [{"title": 5}]}), "", 'multipart/form-data; boundary="b"'),
        'request: embeds[0].title: it is not of types "null", "string"',
    ),
    (asked("DELETE", "/channels/1/messages/2", {"x": 1}), "request: it has a body, where there must be none"),
]


def title(exchange: Exchange) -> str:
    return f"{exchange.method} {exchange.path} {exchange.status}"


@pytest.mark.parametrize("exchange", RIGHT, ids=title)
def test_exchange_as_described_passes(discords: Description, exchange: Exchange) -> None:
    assert exchanges.violations(discords, exchange) == []


@pytest.mark.parametrize(("exchange", "told"), WRONG)
def test_exchange_that_is_not_as_described_is_told(discords: Description, exchange: Exchange, told: str) -> None:
    found = exchanges.violations(discords, exchange)
    assert [line for line in found if told in line], found
    assert all(line.startswith(f"{exchange.method} {exchange.path} -> {exchange.status}: ") for line in found)


def test_request_that_was_refused_may_look_as_it_likes(discords: Description) -> None:
    refusal = json.dumps({"message": "Invalid Form Body", "code": 50035}).encode()
    exchange = asked("POST", WEBHOOK, {"content": 5}, "wait=perhaps")
    assert exchanges.violations(discords, replace(exchange, status=400, answer=refusal)) == []


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/users/@me", "/users/@me"),
        ("/users/1", "/users/{user_id}"),
        ("/webhooks/1/t/messages/@original", "/webhooks/{webhook_id}/{webhook_token}/messages/@original"),
        ("/webhooks/1/t/messages/%40original", "/webhooks/{webhook_id}/{webhook_token}/messages/@original"),
        ("/webhooks/1/t/messages/2", "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}"),
        ("/applications/@me", "/applications/@me"),
    ],
)
def test_literal_segments_win_over_parameters(discords: Description, path: str, template: str) -> None:
    operation = discords.operation("GET", path)
    assert operation is not None
    assert operation.template == template


def test_every_operation_is_found_by_its_own_template(discords: Description) -> None:
    found = list(description.operations(discords.document))
    assert len(found) > 200
    for operation in found:
        path = "/".join("1" if part.startswith("{") else part for part in description.segments(operation.template))
        assert discords.operation(operation.method, f"/{path}") == operation


def test_every_schema_of_the_description_compiles(discords: Description) -> None:
    for name in discords.document["components"]["schemas"]:
        discords.component_faults(name, None)


def test_paths_let_pass_are_not_in_the_description(discords: Description) -> None:
    for method, path in deviations.NOT_DESCRIBED:
        assert discords.operation(method, path) is None


def test_events_name_schemas_that_exist(discords: Description) -> None:
    named = {schema for places in events.PLACES.values() for _, schema in places}
    assert named <= set(discords.document["components"]["schemas"])


@pytest.mark.parametrize(
    ("name", "event", "told"),
    [
        ("READY", {"user": USER}, "READY user as UserPIIResponse: the whole: "),
        (
            "GUILD_MEMBERS_CHUNK",
            {"members": [{"roles": [1]}]},
            "GUILD_MEMBERS_CHUNK members[0] as GuildMemberResponse: ",
        ),
        ("MESSAGE_CREATE", {"id": 5}, "MESSAGE_CREATE itself as MessageResponse: id: "),
        (
            "INTERACTION_CREATE",
            {"data": {"resolved": {"users": {"7": {"id": 7}}}}},
            "INTERACTION_CREATE data.resolved.users.7 as UserResponse: id: ",
        ),
        ("CHANNEL_CREATE", {"id": "1", "type": 1}, "CHANNEL_CREATE itself as PrivateChannelResponse: "),
    ],
)
def test_event_with_a_wrong_object_is_told(
    discords: Description, name: str, event: Mapping[str, Any], told: str
) -> None:
    found = events.violations(discords, name, event)
    assert [line for line in found if line.startswith(told)], found


async def test_tap_judges_a_server_over_the_wire_and_leaves_the_body_to_it(
    discords: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def echo(request: web.Request) -> web.Response:
        form = await request.post() if request.content_type == "multipart/form-data" else await request.json()
        return web.json_response({"content": form["content"]})

    tap = Tap(discords)
    tap.listen(monkeypatch)
    application = web.Application(middlewares=[tap.middleware()])
    application.router.add_post("/api/v10/channels/{channel_id}/messages", echo)
    async with TestServer(application) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        large = "x" * 500_000
        async with http.post("/api/v10/channels/1/messages", json={"content": large}) as response:
            assert (await response.json())["content"] == large
        form = aiohttp.FormData({"content": "y"}, default_to_multipart=True)
        async with http.post("/api/v10/channels/1/messages", data=form) as response:
            assert (await response.json())["content"] == "y"
    wire = Wire(asyncio.Transport(), Plain())
    wire.silent = True  # the tap hears what is sent; there is no socket to send it on
    wire.emit(Send(b'{"op": 0, "t": "READY", "d": {"user": {}}}'))
    assert (tap.exchanges, tap.events) == (2, 1)
    with pytest.raises(AssertionError, match=r"POST /channels/1/messages -> 200: answer: .*\n") as caught:
        tap.check()
    assert "request: content: it is longer than 4000 characters" in str(caught.value)
    assert "READY user as UserPIIResponse" in str(caught.value)
