"""Keeps secrets out of text, by their shape: for logs, errors and whatever else leaves a process."""

import re

# Bot tokens (three base64url parts), API keys, Fernet keys and tokens, credentials inside URLs.
_SECRET = re.compile(
    r"[A-Za-z0-9_-]{20,40}\.[A-Za-z0-9_-]{5,10}\.[A-Za-z0-9_-]{25,110}"
    r"|flt_[A-Za-z0-9_-]{20,}"
    r"|gAAAA[A-Za-z0-9_=-]{40,}"
    r"|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}=(?![A-Za-z0-9_-])"
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+(?=@)")
REDACTED = "[redacted]"
SHORTEST = 24
"""No text with fewer characters holds a secret of those shapes; the shortest is an API key."""


def redact_text(text: str) -> str:
    """Return `text` with everything that has the shape of a secret replaced."""
    if len(text) >= SHORTEST:
        text = _SECRET.sub(REDACTED, text)
    return _URL_PASSWORD.sub(rf"\1:{REDACTED}", text) if "@" in text else text
