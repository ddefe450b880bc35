import socket

import pytest

from flotilla.address import bare_host, listen, url_of

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
