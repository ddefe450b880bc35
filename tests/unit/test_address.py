import asyncio
import socket

import pytest

from flotilla.address import bare_host, listen, listen_patiently, url_of
from flotilla.errors import SetupError

URLS = {
    "127.0.0.1": "http://127.0.0.1:8800",
    "0.0.0.0": "http://127.0.0.1:8800",
    "0": "http://127.0.0.1:8800",
    "127.0.0.2": "http://127.0.0.2:8800",
    "192.0.2.7": "http://192.0.2.7:8800",
    "localhost": "http://localhost:8800",
    "fleet.example": "http://fleet.example:8800",
    "::": "http://[::1]:8800",
    "[::]": "http://[::1]:8800",
    "::1": "http://[::1]:8800",
    "[::1]": "http://[::1]:8800",
    "2001:DB8:0:0::7": "http://[2001:db8::7]:8800",
    "::ffff:0.0.0.0": "http://127.0.0.1:8800",
    " ::1 ": "http://[::1]:8800",
}


@pytest.mark.parametrize(("host", "url"), URLS.items(), ids=repr)
def test_each_host_has_a_url_that_reaches_it(host: str, url: str) -> None:
    assert url_of(host, 8800) == url


def test_brackets_are_of_urls_alone() -> None:
    assert bare_host("[fe80::1]") == "fe80::1"
    assert bare_host("localhost") == "localhost"


def test_a_name_that_nobody_knows_is_an_error_of_the_look_up() -> None:
    with pytest.raises(socket.gaierror):
        listen("no.such.host.invalid", 0)


def test_what_is_accepted_sends_at_once() -> None:
    """Each answer on a kept connection took 40 ms: its second part waited for the client's acknowledgement."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_an_address_that_is_taken_for_a_moment_is_waited_for() -> None:
    with listen("127.0.0.1", 0) as before:
        host, port = before.getsockname()
        waiting = asyncio.create_task(listen_patiently(host, port, 60))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    (await waiting).close()


async def test_an_address_that_stays_taken_is_a_sentence_that_names_the_setting() -> None:
    with listen("127.0.0.1", 0) as before, pytest.raises(SetupError, match="FLOTILLA_HTTP_PORT") as caught:
        await listen_patiently("127.0.0.1", before.getsockname()[1], 0.3)
    assert caught.value.code == "port_taken"
