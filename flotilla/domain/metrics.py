"""What a worker counts of itself, and how the counts of many become those of a fleet. Pure.

A worker tells all it has counted since it began, again and again: a message that is lost costs nothing. All times share
one table of buckets, so that histograms of any bots can be added.
"""

import bisect
import operator
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from flotilla.domain.command_logs import Kind, Outcome

BOUNDS_MS: Final = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0,
                    10_000.0, 60_000.0)  # fmt: skip
"""Upper bounds of the buckets. 2,000 is the default target, 3,000 where Discord gives up; one more holds the rest."""

OTHER: Final = "OTHER"
# fmt: off
EVENTS: Final = frozenset({
    "APPLICATION_COMMAND_PERMISSIONS_UPDATE", "AUTO_MODERATION_ACTION_EXECUTION", "AUTO_MODERATION_RULE_CREATE",
    "AUTO_MODERATION_RULE_DELETE", "AUTO_MODERATION_RULE_UPDATE", "CHANNEL_CREATE", "CHANNEL_DELETE",
    "CHANNEL_PINS_UPDATE", "CHANNEL_UPDATE", "ENTITLEMENT_CREATE", "ENTITLEMENT_DELETE", "ENTITLEMENT_UPDATE",
    "GUILD_AUDIT_LOG_ENTRY_CREATE", "GUILD_BAN_ADD", "GUILD_BAN_REMOVE", "GUILD_CREATE", "GUILD_DELETE",
    "GUILD_EMOJIS_UPDATE", "GUILD_INTEGRATIONS_UPDATE", "GUILD_MEMBER_ADD", "GUILD_MEMBER_REMOVE",
    "GUILD_MEMBER_UPDATE", "GUILD_MEMBERS_CHUNK", "GUILD_ROLE_CREATE", "GUILD_ROLE_DELETE", "GUILD_ROLE_UPDATE",
    "GUILD_SCHEDULED_EVENT_CREATE", "GUILD_SCHEDULED_EVENT_DELETE", "GUILD_SCHEDULED_EVENT_UPDATE",
    "GUILD_SCHEDULED_EVENT_USER_ADD", "GUILD_SCHEDULED_EVENT_USER_REMOVE", "GUILD_SOUNDBOARD_SOUND_CREATE",
    "GUILD_SOUNDBOARD_SOUND_DELETE", "GUILD_SOUNDBOARD_SOUND_UPDATE", "GUILD_SOUNDBOARD_SOUNDS_UPDATE",
    "GUILD_STICKERS_UPDATE", "GUILD_UPDATE", "INTEGRATION_CREATE", "INTEGRATION_DELETE", "INTEGRATION_UPDATE",
    "INTERACTION_CREATE", "INVITE_CREATE", "INVITE_DELETE", "MESSAGE_CREATE", "MESSAGE_DELETE",
    "MESSAGE_DELETE_BULK", "MESSAGE_POLL_VOTE_ADD", "MESSAGE_POLL_VOTE_REMOVE", "MESSAGE_REACTION_ADD",
    "MESSAGE_REACTION_REMOVE", "MESSAGE_REACTION_REMOVE_ALL", "MESSAGE_REACTION_REMOVE_EMOJI", "MESSAGE_UPDATE",
    "PRESENCE_UPDATE", "RATE_LIMITED", "READY", "RESUMED", "SOUNDBOARD_SOUNDS", "STAGE_INSTANCE_CREATE",
    "STAGE_INSTANCE_DELETE", "STAGE_INSTANCE_UPDATE", "SUBSCRIPTION_CREATE", "SUBSCRIPTION_DELETE",
    "SUBSCRIPTION_UPDATE", "THREAD_CREATE", "THREAD_DELETE", "THREAD_LIST_SYNC", "THREAD_MEMBER_UPDATE",
    "THREAD_MEMBERS_UPDATE", "THREAD_UPDATE", "TYPING_START", "USER_UPDATE", "VOICE_CHANNEL_EFFECT_SEND",
    "VOICE_SERVER_UPDATE", "VOICE_STATE_UPDATE", "WEBHOOKS_UPDATE",
    OTHER,
})
"""Source: Discord, Gateway Events, Receive Events. What is not among them counts as `OTHER`."""

REST: Final = frozenset({"2xx", "3xx", "4xx", "5xx", "429 user", "429 global", "429 shared", "429 unknown",
                         "held back", "no answer"})  # fmt: skip
"""How a request ended. 429 by the scope that Discord names; `held back`: Flotilla did not let it pass."""

COMMANDS: Final = frozenset(f"{kind} {outcome}" for kind in Kind for outcome in Outcome)
KINDS: Final = frozenset(map(str, Kind))
CACHES: Final = frozenset({
    "guilds", "guild_channels", "threads", "roles", "emojis", "stickers", "messages", "users", "invites", "members",
    "presences", "voice_states",
})
# fmt: on

MAX_COUNT: Final = 2**53
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Named = Annotated[dict[Annotated[str, Meta(max_length=64)], Count], Meta(max_length=128)]


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """Durations by bucket of `BOUNDS_MS`, the last one beyond all bounds. sum_us: all of them, in microseconds."""

    counts: Annotated[tuple[Count, ...], Meta(min_length=len(BOUNDS_MS) + 1, max_length=len(BOUNDS_MS) + 1)]
    sum_us: Count = 0

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.counts)


EMPTY: Final = Histogram((0,) * (len(BOUNDS_MS) + 1))
Histograms = Annotated[dict[Annotated[str, Meta(max_length=16)], Histogram], Meta(max_length=8)]


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """All that only grows. commands: by kind and outcome (`COMMANDS`); events: by type; rest: of `REST`.

    first, total: times to the first response and to the end, by kind of interaction. lag: how late the event loop came
    to what was due, looked at with each heartbeat.
    """

    commands: Named = {}
    events: Named = {}
    rest: Named = {}
    first: Histograms = {}
    total: Histograms = {}
    lag: Histogram = EMPTY


NOTHING: Final = Counts()
_Value = TypeVar("_Value")


class BotMetrics(msgspec.Struct, frozen=True, array_like=True):
    """Of one bot. at: Unix seconds of the last report. last: what the process of `generation` has counted.

    before: what the processes before it had. mark: all of it as it was at `mark_at`, 5 to 10 minutes ago, so that what
    came since shows how the bot is now. cache: how many of each kind it keeps.
    """

    generation: int
    at: float
    last: Counts
    before: Counts
    mark_at: float
    mark: Counts
    cache: Named = {}


class FleetMetrics(msgspec.Struct, frozen=True, array_like=True):
    """Of all bots of one supervisor, removed ones included. guilds: of each bot that runs, by its id."""

    at: float
    counts: Counts = NOTHING
    cache: Named = {}
    guilds: dict[str, int] = {}


def bucket(ms: float) -> int:
    """Return the index of the bucket of a duration."""
    return bisect.bisect_left(BOUNDS_MS, ms)


def known(told: Counts) -> Counts:
    """Return what is told without names that are of no table: a bot's code may have told anything."""
    return Counts(
        _only(told.commands, COMMANDS),
        _only(told.events, EVENTS),
        _only(told.rest, REST),
        _only(told.first, KINDS),
        _only(told.total, KINDS),
        told.lag,
    )


def plus(one: Counts, other: Counts) -> Counts:
    """Return both together."""
    return Counts(
        _sum(one.commands, other.commands),
        _sum(one.events, other.events),
        _sum(one.rest, other.rest),
        {name: _add(one.first.get(name, EMPTY), other.first.get(name, EMPTY)) for name in one.first | other.first},
        {name: _add(one.total.get(name, EMPTY), other.total.get(name, EMPTY)) for name in one.total | other.total},
        _add(one.lag, other.lag),
    )


def since(now: Counts, before: Counts) -> Counts:
    """Return what `now` has more than `before`; nothing where it has less."""
    return Counts(
        _more(now.commands, before.commands),
        _more(now.events, before.events),
        _more(now.rest, before.rest),
        {name: _subtract(value, before.first.get(name, EMPTY)) for name, value in now.first.items()},
        {name: _subtract(value, before.total.get(name, EMPTY)) for name, value in now.total.items()},
        _subtract(now.lag, before.lag),
    )


def together(histograms: Mapping[str, Histogram]) -> Histogram:
    """Return one histogram of several."""
    whole = EMPTY
    for histogram in histograms.values():
        whole = _add(whole, histogram)
    return whole


def quantile_ms(histogram: Histogram, share: float) -> float | None:
    """Return the time below which `share` of the durations lie, in between two bounds by straight line.

    As Prometheus' `histogram_quantile` has it; what is beyond the last bound counts as that. None: there are none.
    """
    wanted, below = share * histogram.count, 0
    if not histogram.count:
        return None
    for number, count in enumerate(histogram.counts[:-1]):
        if count and below + count >= wanted:
            low = BOUNDS_MS[number - 1] if number else 0.0
            return low + (BOUNDS_MS[number] - low) * max(0.0, wanted - below) / count
        below += count
    return BOUNDS_MS[-1]


def _only(told: Mapping[str, _Value], names: frozenset[str]) -> dict[str, _Value]:
    return {name: value for name, value in told.items() if name in names}


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    both = dict(one)
    for name, value in other.items():
        both[name] = min(MAX_COUNT, both.get(name, 0) + value)
    return both


def _more(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: more for name, value in now.items() if (more := value - before.get(name, 0)) > 0}


def _add(one: Histogram, other: Histogram) -> Histogram:
    if one is EMPTY:
        return other
    if other is EMPTY:
        return one
    counts = tuple(map(operator.add, one.counts, other.counts))
    if max(counts) > MAX_COUNT:
        counts = tuple(min(MAX_COUNT, count) for count in counts)
    return Histogram(counts, min(MAX_COUNT, one.sum_us + other.sum_us))


def _subtract(now: Histogram, before: Histogram) -> Histogram:
    if before is EMPTY:
        return now
    if now == before:  # as most are, most of the time
        return EMPTY
    counts = tuple(map(operator.sub, now.counts, before.counts))
    if min(counts) < 0:
        counts = tuple(max(0, count) for count in counts)
    return Histogram(counts, max(0, now.sum_us - before.sum_us))
