"""What happened to a bot or its host that an operator should know: the table of kinds, and one that happened."""

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec

from flotilla.domain.bounds import PLAIN, Code, Line, Ulid, UnixTime

HAPPENINGS_KEPT = 200
"""Per bot and source, critical ones and others apart, and so for the host; older ones are dropped."""


class Severity(enum.StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Source(enum.StrEnum):
    """Who brought it about, or found it out: Flotilla, or Discord as the bot's worker heard from it."""

    FLOTILLA = "flotilla"
    DISCORD = "discord"


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. code: stable; stored, answered by the API and searched for."""

    code: str
    severity: Severity
    title: str
    remedy: str
    source: Source = Source.FLOTILLA


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
        "gateway_lost",
        Severity.WARNING,
        "lost its gateway session and did not get it back yet",
        "Nothing now: the bot is restarted with its session kept if that lasts. See its log: flotilla logs NAME",
    ),
    Kind("gateway_back", Severity.INFO, "has a gateway session again", "Nothing to do."),
    Kind(
        "gateway_outage",
        Severity.CRITICAL,
        "most bots of this host have lost their gateway sessions",
        "Look at Discord's status page and this host's network. No bot is restarted for it; all connect again by "
        "themselves. If Discord is well: flotilla bots restart --all",
    ),
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
    Kind(
        "commands_refused",
        Severity.WARNING,
        "Discord refused its commands",
        "Mend the command that the detail names; until then users have the commands of before. To try it again as it "
        "is: flotilla bots sync NAME",
    ),
    Kind(
        "commands_late",
        Severity.WARNING,
        "its commands could not be registered yet",
        "Nothing now: Flotilla tries again. Until then users have the commands of before.",
    ),
    Kind(
        "extension_lost",
        Severity.WARNING,
        "runs without extensions that could not be loaded",
        "See why in its log: flotilla logs NAME. Mend them and restart the bot. Until then their commands stay "
        "registered, and nothing answers them.",
    ),
    Kind("commands_registered", Severity.INFO, "its commands were registered with Discord", "Nothing to do."),
    Kind(
        "protocol_violation",
        Severity.CRITICAL,
        "its worker sent what none of ours sends",
        "Code of the bot reaches into its connection to Flotilla. Nothing of it was believed. Read that code before "
        "the bot runs on: flotilla bots stop NAME",
    ),
    Kind(
        "and_more",
        Severity.WARNING,
        "told more than its share, and the rest was left out",
        "Its detail says how much more of what. Look what its code does so often: flotilla logs NAME",
    ),
    Kind("token_replaced", Severity.INFO, "was given a new token", "Nothing to do."),
    Kind(
        "secret_changed",
        Severity.INFO,
        "a secret of its own was set or removed",
        "Nothing to do if its worker may have it with its next start; at once: flotilla bots restart NAME",
    ),
    Kind("released", Severity.INFO, "its requests are let through again", "Nothing to do."),
    Kind(
        "fatal",
        Severity.CRITICAL,
        "was given up",
        "See why: flotilla bots inspect NAME. Mend that, then: flotilla bots start NAME",
    ),
    Kind(
        "spawns_fail",
        Severity.CRITICAL,
        "this host cannot start workers",
        "Do what its detail says. Bots that run are not touched; the others are tried again by themselves, and nothing "
        "is counted against them.",
    ),
    Kind("spawns_work", Severity.INFO, "this host starts workers again", "Nothing to do."),
    Kind(
        "fork_server_hung",
        Severity.WARNING,
        "the process that workers are forked from did not answer and was replaced",
        "Nothing now: bots that run are not touched. If it comes again, see logs/supervisor.log and the host's load.",
    ),
    Kind(
        "place_lost",
        Severity.WARNING,
        "a folder or socket of the home was gone",
        "Find out what removes files in FLOTILLA_HOME. What Flotilla could not make anew comes back with flotilla down "
        "and flotilla up.",
    ),
    Kind(
        "runs_without",
        Severity.WARNING,
        "runs without its log, or cannot keep its session",
        "Do what its detail says; then, if it does not come back by itself: flotilla bots restart NAME",
    ),
    Kind(
        "remains_stay",
        Severity.CRITICAL,
        "processes that it has started cannot be ended",
        "They were killed and wait in the kernel, or are another user's. See: ps -o pid,user,stat,wchan -p PID. Once "
        "their disk or network answers, or the host is restarted, they end. The bot itself goes on.",
    ),
    Kind(
        "set_aside",
        Severity.CRITICAL,
        "something cannot be done for it",
        "A fault of Flotilla's own, which keeps to this bot and is tried again: the detail says what, and the "
        "supervisor's log has the traceback. Report it.",
    ),
    Kind(
        "not_stored",
        Severity.WARNING,
        "something of it could not be stored",
        "Nothing: it was left out, and everything else is stored. The detail says what it was. Report it.",
    ),
    Kind(
        "supervisor_stalled",
        Severity.WARNING,
        "the supervisor stood still",
        "No bot is blamed for it. Find out what held it: a paused container, a suspended machine, a disk that hangs, "
        "too little CPU.",
    ),
    Kind(
        "database_away",
        Severity.WARNING,
        "the database was away",
        "Nothing now: it is back, and what was observed meanwhile is stored. The detail says what it was.",
    ),
    Kind(
        "webhook_disabled",
        Severity.WARNING,
        "an operators' webhook was switched off",
        "Its receiver is gone, or failed for days. Mend it, then: flotilla webhooks enable ID",
    ),
)

_OF_DISCORD = (
    Kind("session_began", Severity.INFO, "began a session", "Nothing to do.", Source.DISCORD),
    Kind("session_resumed", Severity.INFO, "resumed its session", "Nothing to do.", Source.DISCORD),
    Kind(
        "disconnected",
        Severity.INFO,
        "lost its gateway connection",
        "Nothing, if it comes back by itself. The close code says more (Discord, Opcodes and Status Codes).",
        Source.DISCORD,
    ),
    Kind(
        "second_instance",
        Severity.CRITICAL,
        "another process uses its token",
        "Stop that process: users' commands fail while both answer them. If nobody knows where it runs, reset the "
        "token in Discord's developer portal, then: flotilla bots token NAME",
        Source.DISCORD,
    ),
    Kind("guild_joined", Severity.INFO, "was added to a guild", "Nothing to do.", Source.DISCORD),
    Kind("guild_left", Severity.INFO, "was removed from a guild", "Nothing to do.", Source.DISCORD),
    Kind(
        "guild_unavailable",
        Severity.INFO,
        "cannot reach a guild",
        "Nothing: Discord has an outage there, and the bot is still its member.",
        Source.DISCORD,
    ),
    Kind("guild_available", Severity.INFO, "reaches a guild again", "Nothing to do.", Source.DISCORD),
    Kind(
        "permissions_lost",
        Severity.WARNING,
        "lost permissions in a guild or a channel",
        "If its commands need them, ask the people of the guild to give them back.",
        Source.DISCORD,
    ),
)

Detail = (
    Line
    | Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    | bool
    | None
    | Annotated[tuple[Annotated[str, msgspec.Meta(max_length=100, pattern=PLAIN)], ...], msgspec.Meta(max_length=64)]
)

KINDS: dict[str, Kind] = {row.code: row for row in (*_ROWS, *_OF_DISCORD)}
DISCORD_CODES = frozenset(row.code for row in _OF_DISCORD)
CRITICAL_CODES = frozenset(code for code, row in KINDS.items() if row.severity is Severity.CRITICAL)


class Occurrence(msgspec.Struct, frozen=True, array_like=True):
    """What Discord did to a bot, as its worker tells it. Fields by position: new ones go last and have defaults.

    id: a ULID of when it was, made once, so that one told twice is kept once. at: Unix seconds. code: of
    `DISCORD_CODES`; others are passed over.
    """

    id: Ulid
    at: UnixTime
    code: Code
    detail: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=32, pattern=PLAIN)], Detail], msgspec.Meta(max_length=8)
    ] = {}


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
