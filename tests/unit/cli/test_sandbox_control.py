from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.sandbox.control import Control
from flotilla.cli.sandbox.where import is_loopback
from flotilla.settings import Settings


def control(answer: Callable[[httpx.Request], httpx.Response]) -> Control:
    return Control("http://127.0.0.1:9900", Settings(sandbox_key=SecretStr("k")), transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[1]),
        httpx.Response(404, json={"detail": "There is nothing here."}),
        httpx.Response(302, headers={"location": "https://discord.com"}, json={"x": 1}),
    ],
)
def test_what_is_not_a_sandbox_is_told(response: httpx.Response) -> None:
    with control(lambda _: response) as connection, pytest.raises(CommandError) as caught:
        connection.get("/applications")
    assert "What answers at http://127.0.0.1:9900 is not a sandbox." in caught.value.message


def test_a_refusal_is_its_sentence_with_its_code() -> None:
    error = {"error": {"code": "bad_invocation", "message": "there is no message 1"}}
    with control(lambda _: httpx.Response(422, json=error)) as connection, pytest.raises(ApiError) as caught:
        connection.post("/x", {})
    assert (caught.value.message, caught.value.code, caught.value.status) == (
        "There is no message 1.",
        "bad_invocation",
        422,
    )


def test_a_call_that_the_sandbox_does_not_have_is_told() -> None:
    error = {"error": {"code": "no_such_call", "message": "POST /sandbox/load: Not Found."}}
    with control(lambda _: httpx.Response(404, json=error)) as connection, pytest.raises(ApiError) as caught:
        connection.post("/load", {})
    assert "it is of another release" in caught.value.message


def test_a_sandbox_that_hangs_is_told() -> None:
    def hang(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with control(hang) as connection, pytest.raises(CommandError, match="did not answer within 60 s"):
        connection.get("/applications")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:9900/api/v10", True),
        ("http://127.8.8.8", True),
        ("http://localhost:1", True),
        ("http://[::1]:9900", True),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1:1@example.com", False),
        ("https://discord.com/api/v10", False),
        ("http://0.0.0.0:9900", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(url: str, local: bool) -> None:
    assert is_loopback(url) is local


def test_a_key_that_the_sandbox_has_only_just_made_is_found(tmp_path: Path) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        (tmp_path / "sandbox.key").write_text("made\n")
        return httpx.Response(200 if asked[-1] == "Bearer made" else 401, json={"error": {"code": "wrong_key"}})

    settings = Settings(home=tmp_path)
    with Control("http://127.0.0.1:9900", settings, transport=httpx.MockTransport(answer)) as connection:
        connection.get("/applications")
        connection.get("/applications")
    assert asked == [None, "Bearer made", "Bearer made"]


def test_a_key_that_stays_wrong_is_tried_once() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        return httpx.Response(401, json={"error": {"code": "wrong_key", "message": "Bearer KEY. It is in /x."}})

    with control(answer) as connection, pytest.raises(ApiError, match=r"does not accept the key .* It is in /x\. Set"):
        connection.get("/applications")
    assert asked == ["Bearer k"]
