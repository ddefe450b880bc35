"""What happened to a bot or its host that an operator should know: the table of kinds, and one that happened."""

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

HAPPENINGS_KEPT = 200
"""Per bot, and for the host; older ones are dropped."""


class Severity(enum.StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. code: stable; stored, answered by the API and searched for."""

    code: str
    severity: Severity
    title: str
    remedy: str


_ROWS = (
    Kind(
        "memory_forecast",
        Severity.WARNING,
        "memory will reach its limit",
        "Look for a leak. Flotilla restarts the bot warm at its soft limit, before its users notice.",
    ),
    Kind(
        "memory_soft_limit",
        Severity.WARNING,
        "above its soft memory limit",
        "Nothing now: the bot is restarted with its session kept.",
    ),
    Kind(
        "memory_stays_high",
        Severity.WARNING,
        "stays above its soft memory limit",
        "A restart does not help it for long. See what it holds (flotilla bots heap NAME), then mend it or raise the "
        "limit: flotilla bots policy NAME memory_limit_mb=…",
    ),
    Kind(
        "memory_limit",
        Severity.CRITICAL,
        "above its memory limit",
        "Look for a leak or a large cache, or raise the limit: flotilla bots policy NAME memory_limit_mb=…",
    ),
    Kind("deaf", Severity.WARNING, "session went deaf", "Nothing now: Flotilla renews the session."),
    Kind("hearing", Severity.INFO, "session hears again", "Nothing to do."),
    Kind(
        "response_slow",
        Severity.WARNING,
        "responses are slower than the target",
        "Look what its commands wait for. Discord gives up after 3 s.",
    ),
    Kind(
        "session_budget",
        Severity.CRITICAL,
        "session starts are running out",
        "Find out why the bot starts so often; at 1,000 in a day Discord resets its token.",
    ),
    Kind(
        "invalid_requests",
        Severity.CRITICAL,
        "this host nears Discord's ban of its address",
        "Look at the bots that it names: flotilla happenings. Flotilla slows all, the worst first.",
    ),
    Kind(
        "quarantined",
        Severity.CRITICAL,
        "its requests are held back",
        "Mend what makes Discord answer 401, 403 or 429. Interactions are still answered.",
    ),
    Kind(
        "rollover_failed",
        Severity.WARNING,
        "new code did not reach all bots",
        "See what failed: flotilla supervisor rollovers. Mend it, then roll over again.",
    ),
    Kind(
        "config_refused",
        Severity.WARNING,
        "could not be run with its new config",
        "It runs with its last good config. See why: flotilla bots config NAME. Change it, or mend what it needs and "
        "restart the bot to try it again.",
    ),
    Kind("released", Severity.INFO, "its requests are let through again", "Nothing to do."),
)

KINDS: dict[str, Kind] = {row.code: row for row in _ROWS}


@dataclass(frozen=True, slots=True)
class Happening:
    """One that happened. id: a ULID, so ids grow with `at` (aware UTC). bot_id: None for the host's own.

    code: of `KINDS`. detail: figures and names as JSON, without secrets.
    """

    id: str
    bot_id: str | None
    at: datetime
    code: str
    detail: dict[str, Any] = field(default_factory=dict)
