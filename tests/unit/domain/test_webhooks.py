from itertools import pairwise
from typing import Any

import pytest

from flotilla.domain.happenings import Happening
from flotilla.domain.webhooks import (
    RETRY_CAP_S,
    Webhook,
    changes,
    checked_kinds,
    checked_url,
    is_public,
    retry_after_s,
)
from flotilla.errors import FixInputError
from tests.builders import T0


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "fec0::1", "nonsense", "",
    ],
)  # fmt: skip
def test_all_others_are_not_however_they_are_wrapped(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("url", ["https://example.org", "https://example.org:8443/a?b=c", "https://8.8.8.8/x"])
def test_urls_that_lead_out_may_be_called(url: str) -> None:
    assert checked_url(url, allow_private=False) == url


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1:9/"],
)
def test_urls_that_lead_into_this_network_need_a_setting(url: str) -> None:
    with pytest.raises(FixInputError, match="FLOTILLA_WEBHOOKS_ALLOW_PRIVATE") as raised:
        checked_url(url, allow_private=False)
    assert raised.value.code == "webhook_url_private"
    assert checked_url(url, allow_private=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "ftp://example.org", "https://", "https://user:pass@example.org", "https://a b",
        "https://example.org:99999/", "https://[::1/", "https://exämple.org", "https://e.org/\n",
        f"https://e.org/{'x' * 2048}", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(FixInputError) as raised:
        checked_url(url, allow_private=True)
    assert raised.value.code == "webhook_url_invalid"


def test_kinds_are_those_of_the_table() -> None:
    assert checked_kinds(["deaf", "fatal", "deaf"]) == ("deaf", "fatal")
    with pytest.raises(FixInputError, match="guild_left"):
        checked_kinds(["nonsense"])


def test_pauses_double_up_to_an_hour_and_differ() -> None:
    assert [retry_after_s(number, 0.999) for number in (1, 2, 3)] == pytest.approx([5, 10, 20], rel=0.01)
    pauses = [retry_after_s(number, 0.5) for number in range(1, 40)]
    assert all(before <= after for before, after in pairwise(pauses))
    assert pauses[-1] == 0.75 * RETRY_CAP_S
    assert retry_after_s(1, 0.0) == 2.5


@pytest.mark.parametrize(
    ("fields", "code", "bot", "tags", "wanted"),
    [
        ({}, "deaf", "1", (), True),
        ({}, "invalid_requests", None, (), True),
        ({"enabled": False}, "deaf", "1", (), False),
        ({"kinds": ("fatal",)}, "deaf", "1", (), False),
        ({"kinds": ("deaf",)}, "deaf", "1", (), True),
        ({"bots": ("1",)}, "deaf", "1", (), True),
        ({"bots": ("2",)}, "deaf", "1", ("a",), False),
        ({"tags": ("a",)}, "deaf", "1", ("a", "b"), True),
        ({"tags": ("c",), "bots": ("1",)}, "deaf", "1", ("a",), True),
        ({"tags": ("a",)}, "invalid_requests", None, (), False),
    ],
)
def test_a_webhook_is_told_what_it_asked_for(
    fields: dict[str, Any], code: str, bot: str | None, tags: tuple[str, ...], wanted: bool
) -> None:
    webhook = Webhook("w", "https://example.org", T0, **fields)
    assert webhook.wants(Happening("h", bot, T0, code), tags) is wanted


def test_what_was_given_up_is_tried_anew_when_it_is_changed() -> None:
    anew = {"failures": 0, "failing_since": None, "why_disabled": None, "retry_at": None}
    assert changes({"enabled": True}) == {"enabled": True, **anew}
    assert changes({"url": "https://example.org"}) == {"url": "https://example.org", **anew}
    assert changes({"enabled": False, "kinds": ()}) == {"enabled": False, "kinds": ()}
