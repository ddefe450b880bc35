"""What stands before the application: hosts, WebSockets, odd paths, and what every answer carries."""

from typing import Any

import pytest
from quart import Quart
from quart.wrappers import Response

from api.app import create_app, front_of
from api.docs_page import CONTENT_SECURITY_POLICY, FILES
from api.front import HEADERS, in_origin_form
from flotilla.db.keys import Role
from tests.integration.api.conftest import Api

OURS = {name.decode(): value.decode() for name, value in HEADERS}


def assert_guarded(response: Response, **own: str) -> None:
    """It has our headers; own: those that it sets itself, with their values."""
    wanted = OURS | {name.replace("_", "-"): value for name, value in own.items()}
    assert {name: response.headers.get(name) for name in wanted} == wanted
    for name in wanted:
        assert len(response.headers.getlist(name)) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/metrics", 200),
        ("/", 302),
        ("/api/v1/openapi.json", 200),
        ("/api/v1/bots", 401),
        ("/nothing", 404),
    ],
)
async def test_each_answer_carries_our_headers(api: Api, path: str, status: int) -> None:
    response = await api.call("GET", path, role=None)
    assert response.status_code == status
    assert_guarded(response)


async def test_an_answer_that_failed_carries_our_headers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(api.services.supervisors, "all", broken)
    response = await api.call("GET", "/api/v1/status")
    await api.problem(response, 500, "internal_error")
    assert_guarded(response)


async def test_what_the_application_itself_cannot_answer_is_a_problem(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("in the framework")

    monkeypatch.setattr(front_of(api.app), "_inner", broken)
    response = await api.call("GET", "/healthz")
    await api.problem(response, 500, "internal_error")
    assert_guarded(response)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8800", "127.0.0.1.evil.example", ""])
async def test_a_foreign_host_is_refused_before_anything_else(api: Api, host: str) -> None:
    for method, path in (("GET", "/api/v1/bots"), ("GET", "/docs"), ("GET", "/metrics"), ("GET", "/nothing")):
        response = await api.call(method, path, Host=host)
        problem = await api.problem(response, 421, "host_unknown")
        assert "FLOTILLA_HTTP_HOSTS" in problem["detail"]
        assert_guarded(response)


@pytest.mark.parametrize("host", ["fleet.example", "localhost:8800", "10.0.0.7:8800", "[::1]:8800"])
async def test_own_hosts_and_addresses_are_answered(api: Api, host: str) -> None:
    front_of(api.app)._hosts = frozenset({"fleet.example"})
    assert (await api.call("GET", "/api/v1/bots", Host=host)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "", "lb.internal"])
async def test_probes_are_answered_under_any_host(api: Api, host: str) -> None:
    assert (await api.call("GET", "/healthz", role=None, Host=host)).status_code == 200
    assert (await api.call("GET", "/readyz", role=None, Host=host)).status_code in {200, 503}


UPGRADE = {"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket"}


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/bots", "/nothing", "/docs"])
async def test_a_websocket_where_there_is_none_is_a_problem(api: Api, path: str) -> None:
    for role in (None, Role.ADMIN):
        response = await api.call("GET", path, role=role, **UPGRADE)
        await api.problem(response, 404, "websocket_unknown")
        assert_guarded(response)


async def test_a_server_that_makes_a_websocket_of_it_is_told_to_answer_a_problem(api: Api) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "http_version": "1.1",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await front_of(api.app)(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 404
    assert dict(HEADERS).items() <= dict(sent[0]["headers"]).items()


@pytest.fixture
async def with_websocket(api: Api) -> Quart:
    app = create_app(api.services)

    async def stream() -> None:
        from quart import websocket  # noqa: PLC0415 - of the request

        await websocket.send("here")

    app.add_websocket("/stream", "stream", stream)
    return app


async def test_a_websocket_that_is_a_route_is_let_through(with_websocket: Quart) -> None:
    assert front_of(with_websocket).takes_websocket("/stream")
    assert not front_of(with_websocket).takes_websocket("/healthz")
    async with with_websocket.test_client().websocket("/stream", headers={"Host": "localhost"}) as connection:
        assert await connection.receive() == "here"


@pytest.mark.parametrize("path", ["//healthz", "//evil.example/", "///", "/healthz//", "//metrics"])
async def test_two_slashes_are_no_path_and_lead_nowhere(api: Api, path: str) -> None:
    response = await api.client.get("/healthz", scope_base={"path": path, "raw_path": path.encode()})
    await api.problem(response, 404, "route_unknown")
    assert "Location" not in response.headers


@pytest.mark.parametrize("path", ["/api/v1/bots/%00", "/%0a", "/api/v1/bots?name=%00", "/%7F"])
async def test_what_no_database_stores_is_refused(api: Api, path: str) -> None:
    await api.problem(await api.call("GET", path), 400, "request_malformed")


def test_a_whole_url_as_target_says_the_host() -> None:
    scope = {
        "path": "x",
        "raw_path": b"http://evil.example/api/v1/bots",
        "headers": [(b"host", b"localhost"), (b"accept", b"*/*")],
    }
    told = in_origin_form(scope)
    assert (told["path"], told["raw_path"]) == ("/api/v1/bots", b"/api/v1/bots")
    assert told["headers"] == [(b"host", b"evil.example"), (b"accept", b"*/*")]
    for raw in (b"ftp://evil/", b"http://[", b"*", b"evil:443", b"/http://evil/"):
        assert in_origin_form({**scope, "raw_path": raw})["path"] == "x"


async def test_page_of_the_api_loads_nothing_from_elsewhere(api: Api) -> None:
    response = await api.call("GET", "/docs", role=None)
    page = await response.get_data(as_text=True)
    assert "://" not in page
    assert_guarded(response, content_security_policy=CONTENT_SECURITY_POLICY, cache_control="no-cache")
    assert "script-src 'self';" in CONTENT_SECURITY_POLICY
    assert page.count("<script") == page.count("<script src=") == 2  # none in the page itself
    for name in (*FILES, "start.js"):
        assert f'"/docs/{name}"' in page
        response = await api.call("GET", f"/docs/{name}", role=None)
        assert response.status_code == 200
        assert_guarded(response, cache_control="no-cache")
        assert len(await response.get_data()) > 100
    start = await (await api.call("GET", "/docs/start.js", role=None)).get_data(as_text=True)
    assert '"/api/v1/openapi.json"' in start
    assert "validatorUrl: null" in start


@pytest.mark.parametrize("name", ["index.css", "..%2F__init__.py", "../__init__.py", "swagger-ui.js", "x"])
async def test_page_of_the_api_has_no_other_files(api: Api, name: str) -> None:
    await api.problem(await api.call("GET", f"/docs/{name}", role=None), 404, "route_unknown")


async def test_files_of_the_page_are_kept_by_a_browser(api: Api) -> None:
    first = await api.call("GET", "/docs/swagger-ui.css", role=None)
    again = await api.call("GET", "/docs/swagger-ui.css", role=None, If_None_Match=first.headers["ETag"])
    assert again.status_code == 304
