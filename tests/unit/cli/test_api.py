from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flotilla.cli.api import Api, find_key
from flotilla.cli.faults import ApiError, CommandError
from flotilla.settings import Settings


def api(answer: Callable[[httpx.Request], httpx.Response]) -> Api:
    return Api("http://fleet", "flt_key", transport=httpx.MockTransport(answer))


def failing(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def test_the_key_goes_in_the_authorization_header() -> None:
    with api(lambda request: httpx.Response(200, json={"given": request.headers["authorization"]})) as connection:
        assert connection.get("/status") == {"given": "Bearer flt_key"}


def test_all_pages_of_a_list_are_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("cursor")
        assert request.url.params["limit"] == "200"
        assert request.url.params["tag"] == "eu"
        assert "state" not in request.url.params
        return httpx.Response(
            200,
            json={"items": [{"n": 2}], "next_cursor": None} if cursor else {"items": [{"n": 1}], "next_cursor": ">1"},
        )

    with api(answer) as connection:
        assert list(connection.pages("/bots", tag="eu", state=None)) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, {"detail": "x"}, "does not accept this key"),
        (403, {"detail": "It needs the role operator."}, "This key may not do that. It needs the role operator."),
        (422, {"detail": "Not a bot token.", "code": "token_malformed"}, "Not a bot token."),
        (404, {"title": "Not found"}, "Not found"),
        (500, ["odd"], "status 500"),
    ],
)
def test_a_refusal_is_its_sentence(status: int, body: object, sentence: str) -> None:
    with (
        api(lambda _: httpx.Response(status, json=body)) as connection,
        pytest.raises(ApiError) as caught,
    ):
        connection.get("/bots")
    assert sentence in caught.value.message
    assert caught.value.status == status


def test_a_refusal_that_is_no_json_is_a_sentence_too() -> None:
    with (
        api(lambda _: httpx.Response(502, text="<html>")) as connection,
        pytest.raises(ApiError, match="status 502"),
    ):
        connection.post("/bots")


def test_another_server_on_the_port_is_noticed() -> None:
    with (
        api(lambda _: httpx.Response(200, text="<html>hello")) as connection,
        pytest.raises(CommandError, match="not Flotilla's API"),
    ):
        connection.get("/bots")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectError("refused"), "is not reachable at http://fleet. Start the fleet with `flotilla up`"),
        (httpx.ReadTimeout("slow"), "did not answer within 10 s"),
    ],
)
def test_an_api_that_is_away_is_a_sentence(error: Exception, sentence: str) -> None:
    with api(failing(error)) as connection, pytest.raises(CommandError) as caught:
        connection.get("/bots")
    assert sentence in caught.value.message


def test_no_content_is_an_empty_answer() -> None:
    with api(lambda _: httpx.Response(204)) as connection:
        connection.delete("/bots/1")


def test_a_fleet_that_is_not_ready_still_tells_how_it_is() -> None:
    with api(lambda _: httpx.Response(503, json={"valkey": {"ok": False}})) as connection:
        assert connection.readiness() == {"valkey": {"ok": False}}
    with api(lambda _: httpx.Response(404, json={})) as connection, pytest.raises(ApiError):
        connection.readiness()


def test_an_unknown_bot_is_named() -> None:
    with (
        api(lambda _: httpx.Response(200, json={"items": []})) as connection,
        pytest.raises(CommandError, match="no bot called 'nemo'"),
    ):
        connection.bot_named("nemo")


def test_the_key_in_the_environment_comes_before_the_homes(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("flt_file\n")
    assert find_key(Settings(home=tmp_path, api_key=SecretStr("flt_env"))) == "flt_env"
    assert find_key(Settings(home=tmp_path)) == "flt_file"


def test_the_demos_key_is_found(tmp_path: Path) -> None:
    (tmp_path / "demo.key").write_text("flt_demo\n")
    assert find_key(Settings(home=tmp_path)) == "flt_demo"


def test_without_any_key_a_sentence_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="FLOTILLA_API_KEY is not set"):
        find_key(Settings(home=tmp_path))


def test_a_key_file_of_somebody_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder in its place cannot be read by root either; access() is asked what it would say to another user.
    (tmp_path / "admin.key").mkdir()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(CommandError, match="You may not read"):
        find_key(Settings(home=tmp_path))
