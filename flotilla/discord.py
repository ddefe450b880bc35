"""Discord's numbers and shapes that the fleet itself relies on, each with its source.

What Discord sends in headers is never written down here.
"""

import base64
import binascii
import re

from flotilla.errors import FixInputError

API_URL = "https://discord.com/api/v10"
"""REST base of API v10. Source: Discord, "API Reference"."""

SESSION_STARTS_PER_DAY = 1000
"""IDENTIFYs per application in 24 h; RESUME is not counted. Source: Discord, "Gateway", session start limit."""

INVALID_REQUESTS_MAX = 10_000
"""Invalid requests of an IP address in the window. Source: Discord, "Rate Limits", invalid request limit.

Those answered with 401, 403 or 429, for webhooks and interactions too. A 429 with the scope `shared` is none; a 401 for
a dead webhook (code 50027) is one.
"""

INVALID_REQUESTS_WINDOW_S = 600.0
"""The window slides. Source: as above."""

EPOCH_MS = 1_420_070_400_000
"""First millisecond of 2015, from which ids count. Source: Discord, "API Reference", snowflakes."""

_TOKEN = re.compile(r"(?P<id>[A-Za-z0-9_-]{20,40})\.(?P<stamp>[A-Za-z0-9_-]{5,10})\.(?P<mac>[A-Za-z0-9_-]{25,110})")
_SNOWFLAKE = re.compile(r"[0-9]{15,20}")


def application_id_of(token: str) -> str:
    """Return the id of the application that a bot token belongs to, read from the token's first part.

    A bot token is three base64url parts joined by dots; the first is the bot user's id in decimal digits.
    Raises FixInputError (`token_malformed`) for anything else; the token itself never appears in the message.
    """
    match = _TOKEN.fullmatch(token)
    if match:
        part = match["id"]
        try:
            decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        if _SNOWFLAKE.fullmatch(decoded):
            return decoded
    raise FixInputError(
        "This is not a Discord bot token. Copy it whole from the Developer Portal (Bot, Reset Token): "
        "three parts joined by dots, without the word Bot in front.",
        code="token_malformed",
    )
