"""Keeps secrets out of text, for logs, errors and whatever else leaves a process.

By their shape, written out or as URLs and JSON escape it; and those that `hide` was given by their value.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"
SHORTEST: Final = 24
"""No text with fewer characters holds a secret known by its shape; the shortest is an API key."""

SHORTEST_HIDDEN: Final = 8
"""Characters of the shortest value that is hidden: `true` or `5432` would make every other line unreadable.

Source: GitLab's masked CI/CD variables ask for as many.
"""

_SECRET: Final = re.compile(
    r"[A-Za-z0-9_-]{20,40}\.[A-Za-z0-9_-]{5,10}\.[A-Za-z0-9_-]{25,110}"  # bot tokens: three base64url parts
    r"|flt_[A-Za-z0-9_-]{20,}"  # API keys
    r"|gAAAA[A-Za-z0-9_=-]{40,}"  # what Fernet has encrypted
    r"|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}=(?![A-Za-z0-9_-])"  # Fernet keys
    r"|whsec_[A-Za-z0-9+/_-]{20,}={0,2}"  # secrets of webhooks (Standard Webhooks, Signature scheme)
    r"|aW50ZXJhY3Rpb246[A-Za-z0-9+/_-]{20,}={0,2}"  # Discord's tokens of interactions: base64 of `interaction:…`
    r"|/(?:webhooks|interactions)/\d{15,20}/(?P<inner>[A-Za-z0-9._~=+-]{20,})"  # both as they stand in Discord's URLs
)
_USER: Final = re.compile(r"://(?!\[)[^/\s:\"'<>`]*:")
_URL_END: Final = re.compile(r"[\s\"'<>`]|\Z")
_WEB: Final = ("http", "https", "ws", "wss")
_PORT: Final = re.compile(r"\d{1,5}(?=[/?#\s\"'<>`]|\Z)")
_ESCAPED: Final = re.compile(r"%(?:25)*([2-7][0-9A-Fa-f])|\\+(?:u00|x)([2-7][0-9A-Fa-f])|\\+(?=/)")

_hidden: list[str] = []
_hidden_bytes: list[bytes] = []

Span = tuple[int, int]


def hide(values: Iterable[str]) -> None:
    """Let these values be secrets from now on, whatever their shape, in place of those before; in this process alone.

    Those with fewer than SHORTEST_HIDDEN characters are not hidden. Of a value of several lines each line is, too.
    """
    _hidden[:] = _written(values)
    _hidden_bytes[:] = [form.encode() for form in _hidden]


def redact_text(text: str) -> str:
    """Return `text` with every secret in it replaced."""
    spans = list(_spans(text))
    if "%" in text or "\\" in text:
        spans += _escaped_spans(text)
    return _without(text, spans) if spans else text


def redact_values(text: str, values: Iterable[str]) -> str:
    """Return `text` with these values replaced as `hide` has it, for this text alone."""
    for form in _written(values):
        text = text.replace(form, REDACTED)
    return text


def redact_hidden(data: bytes) -> bytes:
    """Return UTF-8 text with the values that `hide` was given replaced; what only has the shape of a secret stays."""
    for value in _hidden_bytes:
        if value in data:
            data = data.replace(value, REDACTED.encode())
    return data


def _written(values: Iterable[str]) -> list[str]:
    """Return all that is to be looked for, the longest first."""
    whole = [value for value in values if len(value) >= SHORTEST_HIDDEN]
    lines = (line.strip() for value in whole for line in value.splitlines())
    known = {*whole, *(line for line in lines if len(line) >= SHORTEST_HIDDEN)}
    forms = {form for value in known for form in _forms(value)}
    return sorted(forms, key=lambda form: (-len(form), form))


def _forms(value: str) -> Iterator[str]:
    """Yield how a value is written in text, in URLs, in JSON and in Python."""
    yield value
    yield quote(value, safe="")
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]


def _spans(text: str) -> Iterator[Span]:
    """Yield where secrets stand; they may overlap."""
    for value in _hidden:
        at = text.find(value)
        while at >= 0:
            yield at, at + len(value)
            at = text.find(value, at + len(value))
    if len(text) >= SHORTEST:
        for found in _SECRET.finditer(text):
            yield found.span("inner" if found["inner"] else 0)
    if "@" in text:
        yield from _passwords(text)


def _passwords(text: str) -> Iterator[Span]:
    """Yield the passwords in URLs. One ends at the last @: `@`, `/` and `:` are often left as they are in it.

    A browser's URL that goes on after a number and a slash has a port there and no password (RFC 3986, 3.2).
    """
    end = last_at = -1
    for found in _USER.finditer(text):
        begin = found.end()
        if begin > end:
            end = _first(_URL_END, text, begin)
            last_at = text.rfind("@", begin, end)
        if last_at <= begin:
            continue
        if _is_web(text, found.start()) and _PORT.match(text, begin):
            continue
        yield begin, last_at


def _first(pattern: re.Pattern[str], text: str, begin: int) -> int:
    found = pattern.search(text, begin)
    return len(text) if found is None else found.start()


def _is_web(text: str, end: int) -> bool:
    scheme = re.split(r"[^a-z0-9]", text[max(0, end - 8) : end].lower())[-1]
    return scheme in _WEB


def _escaped_spans(text: str) -> Iterator[Span]:
    """Yield where secrets stand that are percent-encoded or escaped, once or several times."""
    pieces: list[str] = []
    plain_at, text_at = [0], [0]
    """Places in the plain text, and where they are in `text`: each begins a piece or an escape."""
    done = length = 0
    for found in _ESCAPED.finditer(text):
        digits = found[1] or found[2]
        for piece, begin in (
            (text[done : found.start()], done),
            (chr(int(digits, 16)) if digits else "", found.start()),
        ):
            pieces.append(piece)
            plain_at.append(length)
            text_at.append(begin)
            length += len(piece)
        done = found.end()
    if not done:
        return
    pieces.append(text[done:])
    plain_at.append(length)
    text_at.append(done)

    def place(plain: int) -> int:
        at = bisect_right(plain_at, plain) - 1
        return text_at[at] + plain - plain_at[at]

    for begin, end in _spans("".join(pieces)):
        yield place(begin), place(end)


def _without(text: str, spans: list[Span]) -> str:
    pieces, done = [], 0
    for begin, end in sorted(spans):
        if begin >= done:
            pieces += [text[done:begin], REDACTED]
        done = max(done, end)
    return "".join([*pieces, text[done:]])
