"""Without FLOTILLA_URL the command line asks the socket in the home, and sends its key to nobody else."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flotilla.cli.api import Api
from flotilla.cli.faults import CommandError
from flotilla.settings import load_settings
from flotilla.unix_socket import listen_privately
from tests.integration.cli.conftest import KEY
from tests.ordinary_user import STRANGER


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_API_KEY", KEY)


@contextmanager
def answering(path: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """Listen at `path` and give these answers, one to each connection; yield what was asked."""
    asked: list[bytes] = []
    path.parent.mkdir(parents=True)
    listener = listen_privately(path, 4)

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        yield asked
        thread.join(30)


def an_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_the_socket_in_the_home_is_asked_with_the_key(cli: Any, home: Path) -> None:
    with answering(home / "run" / "api.sock", an_answer(b'{"items": [], "next_cursor": null}')) as asked:
        result = cli("bots", "ls")
    assert (result.code, "no bots" in result.out) == (0, True), result
    head = asked[0].lower().split(b"\r\n")
    assert head[0].startswith(b"get /api/v1/bots?")
    assert b"host: localhost" in head
    assert f"authorization: bearer {KEY}".lower().encode() in head


def test_the_key_goes_to_no_port_that_a_stranger_has_taken(
    cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the API was down, whoever took its port was sent the admin key."""
    with socket.create_server(("127.0.0.1", 0)) as thief:
        monkeypatch.setenv("FLOTILLA_HTTP_PORT", str(thief.getsockname()[1]))
        for command in (("bots", "ls"), ("status",), ("ops", "ls")):
            result = cli(*command)
            assert result.code == 1
            assert f"not reachable at {home}/run/api.sock" in result.err
        thief.setblocking(False)
        with pytest.raises(BlockingIOError):
            thief.accept()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user, too")
def test_the_key_goes_to_no_stranger_who_has_put_a_socket_there(cli: Any, home: Path) -> None:
    path = home / "run" / "api.sock"
    path.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", STRANGER, str(path)], stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == b"listening\n"
        result = cli("bots", "ls")
        assert stranger.stdout.readline() == b"got b''\n"
    assert (result.code, "A stranger listens at" in result.err) == (78, True), result


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "api_unreachable"),
        (b"SSH-2.0-OpenSSH\r\n", "api_unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "api_unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip", "api_unreachable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", "api_unreachable"),
        (an_answer(b"<html>"), "not_our_api"),
    ],
)
def test_what_is_no_answer_is_a_sentence(home: Path, answer: bytes, code: str) -> None:
    path = home / "run" / "api.sock"
    with answering(path, answer), Api.of(load_settings()) as api, pytest.raises(CommandError) as caught:
        api.get("/bots")
    assert (caught.value.code, str(path) in caught.value.message) == (code, True)


def test_an_api_that_hangs_is_a_sentence(home: Path) -> None:
    path = home / "run" / "api.sock"
    path.parent.mkdir(parents=True)
    with (
        listen_privately(path, 4),
        Api.with_key(load_settings(), KEY, timeout_s=0.2) as api,
        pytest.raises(CommandError) as caught,
    ):
        api.get("/bots")
    assert (caught.value.code, str(path) in caught.value.message) == ("api_timeout", True)


def test_a_url_that_the_operator_names_is_asked_instead(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_URL", "http://127.0.0.1:9")
    with Api.of(load_settings()) as api, pytest.raises(CommandError, match=r"not reachable at http://127.0.0.1:9\."):
        api.get("/bots")
