"""Attacks on the redaction: what is a secret goes, however it is written; what is none stays readable."""

import base64
import json
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flotilla.redaction import REDACTED, SHORTEST_HIDDEN, hide, redact_hidden, redact_text, redact_values

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=38, max_size=60)
LETTERS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-", min_size=38, max_size=90)
URL_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
IDS = st.integers(10**16, 2**63 - 1).map(str)


def bot_token(application_id: str, mac: str) -> str:
    return f"{base64.urlsafe_b64encode(application_id.encode()).decode().rstrip('=')}.GAbCdE.{mac}"


BOT_TOKENS = st.builds(bot_token, IDS, WORD)
WHSECS = st.binary(min_size=24, max_size=64).map(lambda raw: f"whsec_{base64.b64encode(raw).decode()}")
INTERACTION_TOKENS = st.builds(
    lambda number, rest: base64.b64encode(f"interaction:{number}:{rest}".encode()).decode(), IDS, WORD
)
IN_URLS = st.builds(
    lambda place, number, secret: (f"https://discord.com/api/v10/{place}/{number}/", secret),
    st.sampled_from(["webhooks", "interactions"]),
    IDS,
    LETTERS,
)
PASSWORDS = st.text(URL_SAFE + "@/:.!$&*()+,;=%#?~^{}|-_", min_size=SHORTEST_HIDDEN, max_size=60)


def escaped(text: str) -> str:
    """Return every character as JSON may write it."""
    return "".join(f"\\u{ord(each):04x}" for each in text)


def percent(text: str) -> str:
    """Return every character as a URL may write it."""
    return "".join(f"%{ord(each):02X}" for each in text)


Form = Callable[[str], str]
WRITTEN: dict[str, tuple[Form, str]] = {
    "plain": (str, "{}"),
    "in a URL": (lambda text: quote(text, safe=""), "{}"),
    "in a form": (quote_plus, "{}"),
    "in a URL in a URL": (lambda text: quote(quote(text, safe=""), safe=""), "{}"),
    "all percent": (percent, "{}"),
    "all percent, twice": (lambda text: quote(percent(text), safe=""), "{}"),
    "lower percent": (lambda text: percent(text).lower(), "{}"),
    "some percent": (lambda text: text.replace(".", "%2E").replace("-", "%2D").replace("/", "%2F"), "{}"),
    "in JSON": (lambda text: json.dumps(text)[1:-1], '{{"a": "{}"}}'),
    "in JSON with slashes": (lambda text: text.replace("/", "\\/"), '["{}"]'),
    "escaped in JSON": (escaped, '"{}"'),
    "escaped in JSON in JSON": (lambda text: escaped(text).replace("\\", "\\\\"), '"\\"{}\\""'),
    "some escaped in JSON": (lambda text: text.replace(".", "\\u002e").replace("-", "\\u002D"), '"{}"'),
    "as Python shows it": (lambda text: repr(text)[1:-1], "{{'a': '{}'}}"),
    "as Python escapes it": (lambda text: text.replace(".", "\\x2e"), "b'{}'"),
    "quoted": (str, '"{}"'),
    "in brackets": (str, "<{0}>, ({0})"),
}
"""How characters are written, and what stands around them."""


def written_as(how: str, text: str) -> str:
    form, around = WRITTEN[how]
    return around.format(form(text))


def is_gone(how: str, secret: str, shown: str) -> bool:
    """Return whether nothing of a secret is left that is worth having: 8 characters of it in a row."""
    form, _ = WRITTEN[how]
    return not any(form(secret[at : at + 8]) in shown for at in range(max(1, len(secret) - 7)))


@pytest.fixture(autouse=True)
def nothing_hidden() -> Iterator[None]:
    yield
    hide(())


@pytest.mark.parametrize("written", WRITTEN, ids=str)
@settings(max_examples=20)
@given(secret=st.one_of(BOT_TOKENS, WHSECS, INTERACTION_TOKENS), before=st.sampled_from(["", "token ", "?t=", "x://"]))
def test_a_secret_goes_however_it_is_written(written: str, secret: str, before: str) -> None:
    shown = redact_text(f"{before}{written_as(written, secret)} after")
    assert REDACTED in shown
    assert is_gone(written, secret, shown), shown
    assert shown.endswith("after")


@pytest.mark.parametrize("written", WRITTEN, ids=str)
@settings(max_examples=20)
@given(parts=IN_URLS, rest=st.sampled_from(["", "/callback", "/messages/@original", "?wait=true"]))
def test_a_token_in_a_webhooks_or_interactions_url_goes_and_the_place_stays(
    written: str, parts: tuple[str, str], rest: str
) -> None:
    place, secret = parts
    shown = redact_text(f"POST {written_as(written, place + secret + rest)} gave 404")
    assert is_gone(written, secret, shown)
    assert shown.startswith("POST ")
    assert shown.endswith(" gave 404")
    if written == "plain":
        assert shown == f"POST {place}{REDACTED}{rest} gave 404"


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg", "redis", "rediss", "amqp", "mongodb+srv"])
@settings(max_examples=40)
@given(user=st.sampled_from(["", "u", "me@corp", "a.b"]), password=PASSWORDS)
def test_a_password_in_a_dsn_goes_with_all_its_ats_slashes_and_colons(scheme: str, user: str, password: str) -> None:
    text = f"{scheme}://{user}:{password}@db.example:5432/fleet?x=1"
    shown = redact_text(f"cannot reach {text} now")
    assert shown == f"cannot reach {scheme}://{user}:{REDACTED}@db.example:5432/fleet?x=1 now"
    assert password not in redact_text(json.dumps({"dsn": text}))
    assert password not in redact_text(repr(text))
    assert is_gone("in a URL", password, redact_text(f"?url={quote(text, safe='')}&more=1"))


@pytest.mark.parametrize(
    "password", ["p@ss", "p/ss", "p:ss", "@", "p@/:ss", "12/34@", "5432/x", "%40x", "a@b@c@", "://a:b"]
)
def test_a_password_in_a_url_goes_whole(password: str) -> None:
    shown = redact_text(f"x postgresql://u:{password}@h/db y")
    assert shown == f"x postgresql://u:{REDACTED}@h/db y"


@given(password=PASSWORDS)
def test_a_password_in_a_browsers_url_goes_unless_it_is_a_port(password: str) -> None:
    shown = redact_text(f"see https://me:x{password}@host/path now")
    assert shown == f"see https://me:{REDACTED}@host/path now"


@pytest.mark.parametrize(
    "harmless",
    [
        "GET http://127.0.0.1:8900/api/v10/users/@me",
        "GET http://127.0.0.1:8900/api/v10/channels/1/messages/2/reactions/name:3/@me gave 204",
        "GET http://[::1]:8900/api/v10/users/@me",
        "https://discord.com/api/v10/applications/@me",
        "https://discord.com:443/api/v10/webhooks/123456789012345678/{token}/messages/@original",
        "POST /webhooks/{webhook}/{token}?thread_id=1",
        "POST /interactions/{interaction}/{token}/callback",
        "/api/v1/webhooks/01M83NW7Z0WKRFR7D0W0JF06WX/deliveries",
        "npm http://localhost:4873/@scope/package",
        "git+https://localhost:8080/org/repo@v1.0",
        "write to a.person@example.org or b@example.org: they know",
        "postgresql://db:5432/fleet",
        "redis://cache:6379/0 and unix:///run/x.sock",
        "100 % of 5%, \\u00e9t\\u00e9, C:\\Users\\x\\u0041",
        "%41%42%43 and %2E%2E%2F",
        "ratio=0.98 p95=12.5ms (at a.b.c:12)",
        "whsec_ and aW50ZXJhY3Rpb246 alone say nothing",
        "2026-11-23 07:45:39,254+00:00 INFO flotilla: https://example.org/a?b=c%20d&e=f@g",
    ],
)
def test_ordinary_lines_stay_as_they_are(harmless: str) -> None:
    assert redact_text(harmless) == harmless


@given(st.text())
def test_no_text_breaks_it_and_what_it_returns_is_settled(text: str) -> None:
    shown = redact_text(text)
    assert redact_text(shown).count(REDACTED) >= shown.count(REDACTED)


@given(st.text("%25\\u0041x/:@.", max_size=200))
def test_escapes_that_are_none_break_nothing(text: str) -> None:
    redact_text(text)


def test_a_long_line_full_of_beginnings_takes_no_time_to_speak_of() -> None:
    for text in (
        "://a:" * 20_000 + "@",
        "@" + "://a:" * 20_000,
        "%2525" * 20_000,
        "\\u00" * 20_000,
        "/webhooks/" * 9_000,
    ):
        assert len(redact_text(text)) <= len(text) + len(REDACTED)


# By value ------------------------------------------------------------------------------------------------------------

VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=SHORTEST_HIDDEN, max_size=60).filter(
    lambda value: REDACTED not in value and value not in f"value  after {REDACTED}"
)


@pytest.mark.parametrize("written", ["plain", "in a URL", "in a form", "in JSON", "as Python shows it", "quoted"])
@settings(max_examples=30)
@given(value=VALUES)
def test_a_hidden_value_goes_whatever_it_looks_like(written: str, value: str) -> None:
    hide([value])
    text = f"value {written_as(written, value)} after"
    assert value not in redact_text(text)
    assert value.encode() not in redact_hidden(text.encode())
    assert REDACTED in redact_text(text)
    assert REDACTED.encode() in redact_hidden(text.encode())


def test_each_line_of_a_hidden_key_goes() -> None:
    lines = ["-----BEGIN KEY-----", "c2VjcmV0IG9uZQ" * 4, "c2VjcmV0IHR3bw" * 4, "-----END KEY-----"]
    hide(["\n".join(lines)])
    for line in lines[1:3]:
        assert line not in redact_text(f"the line {line} was read")


def test_what_is_hidden_replaces_what_was_hidden_before_and_short_values_never_are() -> None:
    hide(["hunter2-hunter2", "true", "5432"])
    assert redact_text("hunter2-hunter2 is true on 5432") == f"{REDACTED} is true on 5432"
    assert redact_hidden(b"hunter2-hunter2 is true") == b"[redacted] is true"
    hide(["other-value"])
    assert redact_text("hunter2-hunter2 other-value") == f"hunter2-hunter2 {REDACTED}"


def test_values_can_be_replaced_in_one_text_alone() -> None:
    text = f"a %s, {json.dumps('hunter2 of the shop')} and hunter2%20of%20the%20shop"
    assert redact_values(text, ["hunter2 of the shop", "and"]) == f'a %s, "{REDACTED}" and {REDACTED}'
    assert redact_text(text) == text
