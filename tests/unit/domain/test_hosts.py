"""To which hosts the API answers."""

import pytest

from flotilla.domain.hosts import answers_to, is_host_name

NAMES = ("fleet.example", "box")


@pytest.mark.parametrize(
    "host",
    [
        "fleet.example",
        "FLEET.example:8800",
        "fleet.example.",
        "box:80",
        "localhost",
        "LOCALHOST:8800",
        "flotilla.localhost",
        "127.0.0.1",
        "127.0.0.1:8800",
        "10.1.2.3:443",
        "[::1]",
        "[::1]:8800",
        "[fe80::1%25eth0]:8800",
    ],
)
def test_own_names_loopback_and_addresses_are_answered(host: str) -> None:
    assert answers_to(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":8800",
        "evil.example",
        "evil.fleet.example",
        "fleet.example.evil",
        "fleet.example@evil",
        "fleet.example:80:80",
        "fleet.example:port",
        "localhost.evil",
        "notlocalhost",
        "0x7f.1",
        "2130706433",
        "127.0.0.1.evil.example",
        "[evil.example]",
        "[::1",
        "::1",  # a Host header has brackets around it
        "fleet.example evil",
        "fleet.example\x00",
        "fleet.example:٨٨",
    ],
)
def test_every_other_name_is_refused(host: str) -> None:
    assert not answers_to(host, NAMES)


def test_what_is_a_name() -> None:
    assert all(map(is_host_name, ["a", "fleet.example", "my_box", "xn--bcher-kva.example"]))
    assert not any(map(is_host_name, ["", ".", "-a", "a-", "a:80", "http://a", "a/b", "A", "bücher", "*", "a" * 300]))
