"""Errors are problems (RFC 9457), and none of them gives a secret away."""

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog

from api.problems import PROBLEMS
from api.schemas import NewBot
from flotilla.db.engine import Database
from flotilla.db.keys import Role
from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.log import configure_logging
from tests.builders import token_of
from tests.integration.api.conftest import Api

TOKEN = token_of(7)
# The application's id is public; the rest of the token is the secret, and no long part of it may show.
SECRET_PARTS = (TOKEN, TOKEN[30:], TOKEN[-20:], TOKEN[36:60])


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging("api", "DEBUG", json=True, stream=stream)
    yield stream
    structlog.reset_defaults()


async def test_path_that_is_not_there(api: Api) -> None:
    problem = await api.problem(await api.call("GET", "/api/v1/nothing"), 404, "route_unknown")
    assert problem["instance"] == "/api/v1/nothing"
    assert problem["errors"] == []


async def test_method_that_is_not_taken(api: Api) -> None:
    response = await api.call("PATCH", "/api/v1/bots")
    await api.problem(response, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


async def test_body_over_the_limit(api: Api) -> None:
    body = b'{"name":"' + b"a" * 70_000 + b'"}'
    await api.problem(await api.call("POST", "/api/v1/bots", body), 413, "body_too_large")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"name":"a","token":"b"}{', b'{"name":NaN', b'"\\ud800"']
)
async def test_body_that_is_not_json(api: Api, body: bytes) -> None:
    await api.problem(await api.call("POST", "/api/v1/bots", body), 400, "json_malformed")


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"tags":' + b"[" * 60_000, b'{"x":' + b'{"x":' * 9_000])
async def test_body_without_a_bottom_is_refused(api: Api, body: bytes) -> None:
    assert (await api.call("POST", "/api/v1/bots", body)).status_code in {400, 422}


async def test_unknown_field_is_named_if_it_looks_like_one(api: Api) -> None:
    for key, named in (("tag", True), (TOKEN[30:], False)):
        problem = await api.problem(await api.call("POST", "/api/v1/bots", {key: 1}), 422, "input_invalid")
        assert (key in problem["errors"][0]["detail"]) is named


async def test_schema_fault_says_where(api: Api) -> None:
    body = {"kind": "restart", "selector": {"ids": ["a", 5]}}
    problem = await api.problem(await api.call("POST", "/api/v1/operations", body), 422, "input_invalid")
    assert problem["errors"] == [{"detail": "Expected `str`, got `int`", "pointer": "#/selector/ids/1"}]


async def test_database_away_is_a_503_that_says_when_to_come_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise RetryError("The database does not answer.", code="database_unavailable")

    monkeypatch.setattr(api.services.keys, "find", away)
    response = await api.call("GET", "/api/v1/bots")
    await api.problem(response, 503, "database_unavailable")
    assert int(response.headers["Retry-After"]) > 0


async def test_unexpected_error_gives_no_internals(api: Api, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError(f"internal detail with {TOKEN}")

    monkeypatch.setattr(api.services.supervisors, "all", broken)
    response = await api.call("GET", "/api/v1/status")
    problem = await api.problem(response, 500, "internal_error")
    assert "internal detail" not in str(problem)
    logged = log.getvalue()
    assert "ZeroDivisionError" in logged
    assert problem["request_id"] in logged
    assert TOKEN not in logged


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (SetupError("The key file /some/where is damaged", code="key_file_damaged"), 500, "misconfigured"),
        (FlotillaError("of no kind"), 500, "internal_error"),
        (RetryError("Something new is away.", code="new_thing_away"), 503, "new_thing_away"),
    ],
)
async def test_errors_of_every_kind_are_mapped(
    api: Api, monkeypatch: pytest.MonkeyPatch, fault: FlotillaError, status: int, code: str
) -> None:
    async def fail() -> None:
        raise fault

    monkeypatch.setattr(api.services.bots, "counts", fail)
    problem = await api.problem(await api.call("GET", "/api/v1/status"), status, code)
    assert "/some/where" not in str(problem)


async def test_exposed_key_file_is_told_in_the_log_alone(api: Api, tmp_path: Path, log: io.StringIO) -> None:
    key_file = tmp_path / "secrets.key"
    key_file.write_bytes(key_file.read_bytes())
    key_file.chmod(0o644)
    body = {"name": "a", "token": TOKEN}
    problem = await api.problem(await api.call("POST", "/api/v1/bots", body), 500, "misconfigured")
    assert "chmod" not in str(problem)
    assert "chmod 600" in log.getvalue()


async def test_each_answer_has_a_request_id_and_keeps_a_sane_one(api: Api) -> None:
    for path in ("/healthz", "/nothing", "/api/v1/bots"):
        assert len((await api.call("GET", path, role=None)).headers["X-Request-Id"]) == 26
    for given, kept in (("build-42.a_b", True), ("x" * 65, False), ("a b", False), (TOKEN, False)):
        response = await api.client.get("/healthz", headers={"X-Request-Id": given})
        assert (response.headers["X-Request-Id"] == given) is kept


ATTACKS: list[tuple[str, str, object]] = [
    ("POST", "/api/v1/bots", f'{{"name":"a","token":"{TOKEN}"'.encode()),
    ("POST", "/api/v1/bots", f'{{"name":"a","token":"{TOKEN}\\ud800"}}'.encode()),
    ("POST", "/api/v1/bots", TOKEN.encode()),
    ("POST", "/api/v1/bots", f"token={TOKEN}".encode()),
    ("POST", "/api/v1/bots", [TOKEN]),
    ("POST", "/api/v1/bots", TOKEN),
    ("POST", "/api/v1/bots", {TOKEN: 1}),
    ("POST", "/api/v1/bots", {TOKEN[30:]: 1, "name": "a", "token": "b"}),
    ("POST", "/api/v1/bots", {"name": TOKEN, "token": "x"}),
    ("POST", "/api/v1/bots", {"name": TOKEN.lower(), "token": TOKEN}),
    ("POST", "/api/v1/bots", {"name": "a", "token": [TOKEN]}),
    ("POST", "/api/v1/bots", {"name": "a", "token": TOKEN + "!"}),
    ("POST", "/api/v1/bots", {"name": "a", "token": "x" + TOKEN}),
    ("POST", "/api/v1/bots", {"name": "a", "token": TOKEN, "tags": [TOKEN]}),
    ("POST", "/api/v1/bots", {"name": "a", "token": TOKEN, "tags": TOKEN}),
    ("POST", "/api/v1/bots", {"name": "a", "token": TOKEN, "desired": TOKEN}),
    ("POST", "/api/v1/bots", {"name": "a", "token": TOKEN, "desired": TOKEN[30:]}),
    ("POST", "/api/v1/operations", {"kind": TOKEN, "selector": {"all": True}}),
    ("POST", "/api/v1/operations", {"kind": "restart", "selector": {"names": [TOKEN[:64]]}}),
    ("POST", "/api/v1/operations", {"kind": "restart", "selector": {"states": [TOKEN]}}),
    ("GET", f"/api/v1/bots?name={TOKEN}", None),
    ("GET", f"/api/v1/bots?state={TOKEN}", None),
    ("GET", f"/api/v1/bots?{TOKEN}=1", None),
    ("GET", f"/api/v1/bots?cursor=%3Es:{TOKEN}", None),
    ("GET", f"/api/v1/bots/{TOKEN}", None),
    ("GET", f"/{TOKEN}", None),
    ("POST", f"/api/v1/bots/{TOKEN}/start", None),
    ("PUT", f"/api/v1/bots/{TOKEN}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ATTACKS)
async def test_token_in_the_wrong_place_comes_out_nowhere(
    api: Api, log: io.StringIO, method: str, path: str, body: object
) -> None:
    response = await api.call(method, path, body)
    shown = await response.get_data(as_text=True) + str(response.headers) + log.getvalue()
    for part in SECRET_PARTS:
        assert part not in shown
        assert part.lower() not in shown


async def test_token_in_the_authorization_header_comes_out_nowhere(api: Api, log: io.StringIO) -> None:
    response = await api.client.get("/api/v1/bots", headers={"Authorization": f"Bearer {TOKEN}"})
    shown = await response.get_data(as_text=True) + str(response.headers) + log.getvalue()
    assert not any(part in shown for part in SECRET_PARTS)


async def test_good_token_is_not_logged_either(api: Api, log: io.StringIO) -> None:
    await api.add_bot(7)
    assert "bot.added" in log.getvalue()
    assert not any(part in log.getvalue() for part in SECRET_PARTS)


async def test_api_key_is_not_logged(api: Api, log: io.StringIO) -> None:
    await api.call("GET", "/api/v1/bots")
    assert "request.answered" in log.getvalue()
    assert not any(key in log.getvalue() for key in api.keys.values())


async def test_sql_error_shows_no_values(api: Api, log: io.StringIO, database: Database) -> None:
    async with database.write() as connection:
        await connection.exec_driver_sql("DROP TABLE bot_tags")
    response = await api.call("POST", "/api/v1/bots", {"name": "a", "token": TOKEN, "tags": ["x"]})
    assert response.status_code >= 500
    assert "gAAAA" not in log.getvalue() + await response.get_data(as_text=True)


def test_request_with_a_token_does_not_show_it_when_printed() -> None:
    new = msgspec.json.decode(msgspec.json.encode({"name": "a", "token": TOKEN}), type=NewBot)
    assert TOKEN not in f"{new} {new!r} {[new]}"


async def test_openapi_describes_every_route_with_problems_and_keys(api: Api) -> None:
    document = await api.get("/api/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["apiKey"] == {"type": "http", "scheme": "bearer"}
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert ("/api/v1/bots/{bot_id}/restart", "post") in described
    assert len(described) == 52
    for path, methods in document["paths"].items():
        for operation in methods.values():
            problem = operation["responses"]["default"]["content"]["application/problem+json"]
            assert problem["schema"]["$ref"].endswith("/Problem")
            assert any(status.startswith("2") for status in operation["responses"])
            assert bool(operation.get("security")) is path.startswith("/api/")


async def test_openapi_refers_to_nothing_that_is_not_there(api: Api) -> None:
    document = await api.get("/api/v1/openapi.json")
    components = document["components"]["schemas"]

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert named <= set(components)
    assert {"Bot", "NewBot", "Selector", "Problem", "FieldError"} <= named
    assert "token" not in components["Bot"]["properties"]


async def test_start_page_leads_to_the_docs(api: Api) -> None:
    response = await api.call("GET", "/", role=None)
    assert (response.status_code, response.headers["Location"]) == (302, "/docs")


def test_statuses_of_the_table_fit_their_families() -> None:
    assert {kind.status for kind in PROBLEMS.values()} == {
        *(400, 401, 403, 404, 405, 408, 409, 412, 413, 421, 422, 429, 431),
        *(500, 503, 505),
    }


async def test_options_needs_a_key_as_everything_does(api: Api) -> None:
    assert (await api.call("OPTIONS", "/api/v1/bots", role=None)).status_code == 401
    assert (await api.call("OPTIONS", "/api/v1/bots", role=Role.VIEWER)).status_code in {200, 403}
