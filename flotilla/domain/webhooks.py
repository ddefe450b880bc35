"""Operators' webhooks: who is told of what, what is sent, when it is tried again, and when it is given up. Pure."""

import enum
import ipaddress
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from flotilla.domain.happenings import CRITICAL_CODES, KINDS, Happening
from flotilla.errors import FixInputError

MAX_WEBHOOKS: Final = 50
MAX_URL: Final = 2048
MAX_PENDING: Final = 10_000
"""Deliveries of one webhook that may wait; what comes beyond is dropped and counted."""

KEPT_FOR_OTHERS: Final = 0.5
"""Share of those places above which a bot may not take any more for what is not critical than `OF_ONE_BOT`."""

OF_ONE_BOT: Final = 0.05
TEST: Final = "test"
"""The type of what `flotilla webhooks test` sends."""

FIRST_RETRY_S: Final = 5.0
RETRY_CAP_S: Final = 3600.0
KEPT: Final = timedelta(days=7)
"""For how long it can be seen what was delivered, or given up."""

PAUSE_AFTER: Final = 5
"""Failures in a row after which a receiver gets one attempt at a time, each after a longer pause."""

GONE: Final = 410
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class DeliveryState(enum.StrEnum):
    """Where a delivery stands. dropped: its webhook was switched off, or it was tried for too long."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where operators want to be told. kinds: codes of `KINDS`; bots: ids; tags: of bots; empty: all.

    A webhook with bots or tags is told nothing of the host. failures: in a row, since `failing_since`. dropped: how
    many deliveries found no room. why_disabled: None unless Flotilla switched it off. retry_at: not tried before.
    """

    id: str
    url: str
    created_at: datetime
    kinds: tuple[str, ...] = ()
    bots: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    enabled: bool = True
    last_status: int | None = None
    last_error: str | None = None
    last_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    why_disabled: str | None = None
    dropped: int = 0
    retry_at: datetime | None = None

    def wants(self, happening: Happening, tags: Collection[str]) -> bool:
        """Return whether it is to be told. tags: of the happening's bot."""
        if not self.enabled or (self.kinds and happening.code not in self.kinds):
            return False
        if self.bots or self.tags:
            return happening.bot_id in self.bots or any(tag in self.tags for tag in tags)
        return True


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook. id: stable over all attempts, the receiver's means to know one it has seen.

    body: JSON, the same in all attempts. next_at: when it is due, or claimed until.
    """

    id: str
    webhook_id: str
    kind: str
    body: str
    created_at: datetime
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class Places:
    """Where deliveries of one webhook wait.

    most: how many may. taken: how many do. of_bots: those of each bot, counted only when places are few.
    """

    most: int
    taken: int
    of_bots: Mapping[str, int] = field(default_factory=dict)

    def are_few(self, wanted: int) -> bool:
        """Return whether it matters whose they are."""
        return self.taken + wanted > self.most * KEPT_FOR_OTHERS


def may_wait(events: Sequence[Happening], places: Places) -> list[Happening]:
    """Return those of `events` that find a place, in their order: critical ones and the host's own first.

    While many places are taken a bot has no more than its part for all else, so that what one bot brings about keeps
    nobody from hearing of the others.
    """
    free, few = max(0, places.most - places.taken), places.are_few(len(events))
    of_bots = Counter(places.of_bots)
    fit: set[str] = set()
    for event in sorted(events, key=lambda event: not _comes_first(event)):
        bot_id = event.bot_id or ""
        if len(fit) >= free:
            break
        if not _comes_first(event) and few and of_bots[bot_id] >= places.most * OF_ONE_BOT:
            continue
        of_bots[bot_id] += 1
        fit.add(event.id)
    return [event for event in events if event.id in fit]


def _comes_first(event: Happening) -> bool:
    return event.bot_id is None or event.code in CRITICAL_CODES


def body_of(happening: Happening, bot_name: str | None) -> dict[str, Any]:
    """Return what a receiver is sent of a happening, in the form that Standard Webhooks recommends."""
    kind = KINDS[happening.code]
    return {
        "type": happening.code,
        "timestamp": happening.at.isoformat(),
        "data": {
            "happening_id": happening.id,
            "bot_id": happening.bot_id,
            "bot_name": bot_name,
            "source": kind.source.value,
            "severity": kind.severity.value,
            "title": kind.title,
            "remedy": kind.remedy,
            "detail": dict(happening.detail),
        },
    }


def retry_after_s(attempts: int, u: float) -> float:
    """Return seconds until the next attempt, doubled with each of `attempts` (at least 1) up to RETRY_CAP_S.

    u: uniform draw in [0, 1); the caller owns randomness.
    """
    return min(RETRY_CAP_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20)) * (0.5 + u / 2)


def checked_kinds(kinds: Collection[str]) -> tuple[str, ...]:
    """Return kinds, each once. Raises FixInputError (`webhook_kind_unknown`)."""
    unknown = sorted(set(kinds) - KINDS.keys())
    if unknown:
        raise FixInputError(
            f"There is no kind {unknown[0]!r}. There are: {', '.join(KINDS)}.", code="webhook_kind_unknown"
        )
    return tuple(dict.fromkeys(kinds))


def checked_url(url: str, *, allow_private: bool) -> str:
    """Return a URL that may be called, as far as its text says. Raises FixInputError (`webhook_url_…`).

    allow_private: as FLOTILLA_WEBHOOKS_ALLOW_PRIVATE.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    sane = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if not sane or not host or parts.scheme not in {"http", "https"} or parts.username or parts.password:
        raise FixInputError(
            f"The URL must look like https://host/path: at most {MAX_URL:,} characters, without spaces and without a "
            "user or password.",
            code="webhook_url_invalid",
        )
    if not allow_private and (parts.scheme != "https" or host == "localhost" or _is_private_text(host)):
        raise FixInputError(
            "The URL must begin with https:// and lead out of this network. For a receiver of your own within it, set "
            "FLOTILLA_WEBHOOKS_ALLOW_PRIVATE=true for the API and the jobs program.",
            code="webhook_url_private",
        )
    return url


def is_public(address: str) -> bool:
    """Return whether an address is one of the Internet at large, also where IPv6 wraps one of IPv4.

    False for what is no address.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        wrapped = (ip.sixtofour, *(ip.teredo or ()))
        if ip.is_site_local or any(each is not None and not is_public(str(each)) for each in wrapped):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _is_private_text(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)


def changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a change of a webhook by an operator changes besides: it is tried anew."""
    if values.get("enabled") or "url" in values:
        return {**values, "failures": 0, "failing_since": None, "why_disabled": None, "retry_at": None}
    return dict(values)
