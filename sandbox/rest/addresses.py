"""The budget of invalid requests that an IP address has, and the ban past it. Pure.

Discord counts 401, 403 and 429 (unless its scope is `shared`) over a sliding window, for all bots of the address
together. The window slides in sixtieths, so it is up to a sixtieth longer than asked.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox import limits

_SLOTS = 60
INVALID_STATUSES = frozenset({401, 403, 429})


@dataclass(slots=True)
class BudgetRules:
    """What of the budget can be set: the limit, its sliding window, the length of a ban, and whether it counts."""

    enforced: bool = True
    limit: int = limits.INVALID_REQUESTS_MAX
    window_s: float = limits.INVALID_REQUESTS_WINDOW_S
    ban_s: float = limits.ADDRESS_BAN_S


@dataclass(slots=True)
class _Slot:
    ends_at: float
    total: int = 0
    by_source: Counter[tuple[str, int]] = field(default_factory=Counter)


@dataclass(slots=True)
class Address:
    """One IP address: its invalid requests in the window, and the Unix time at which its ban ends."""

    slots: deque[_Slot] = field(default_factory=deque)
    total: int = 0
    banned_until: float = 0.0

    def count(self, source: str, status: int, number: int, now: float, window_s: float) -> int:
        """Add invalid requests of an application; return how many the window holds."""
        self.expire(now, window_s)
        if not self.slots or now >= self.slots[-1].ends_at:
            self.slots.append(_Slot(now + window_s / _SLOTS))
        slot = self.slots[-1]
        slot.total += number
        slot.by_source[source, status] += number
        self.total += number
        return self.total

    def expire(self, now: float, window_s: float) -> None:
        """Forget what lies behind the window."""
        while self.slots and self.slots[0].ends_at <= now - window_s:
            self.total -= self.slots.popleft().total

    def by_application(self) -> dict[str, dict[str, int]]:
        """Return the counts by application id ("unknown" for none) and status."""
        summed: dict[str, dict[str, int]] = {}
        for slot in self.slots:
            for (source, status), number in slot.by_source.items():
                counts = summed.setdefault(source, {})
                counts[str(status)] = counts.get(str(status), 0) + number
        return summed

    def clear(self) -> None:
        """Start the count anew."""
        self.slots.clear()
        self.total = 0


class Addresses:
    """All IP addresses that made an invalid request within the window, or are banned."""

    def __init__(self) -> None:
        self.rules = BudgetRules()
        self._known: dict[str, Address] = {}

    def _meet(self, address: str) -> Address:
        """Return an address, made if it did nothing before; with too many of them, the oldest is forgotten."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= limits.ADDRESSES_KEPT:
                del self._known[next(iter(self._known))]
            known = self._known[address] = Address()
        return known

    def banned_for_s(self, address: str, now: float) -> float:
        """Return how long the address is banned from now on, 0 if it is not."""
        known = self._known.get(address)
        return max(0.0, known.banned_until - now) if known is not None and self.rules.enforced else 0.0

    def invalid(self, address: str, source: str, status: int, now: float) -> None:
        """Count an invalid request of the application `source`; past the limit the address is banned."""
        if not self.rules.enforced:
            return
        known = self._meet(address)
        if known.count(source, status, 1, now, self.rules.window_s) >= self.rules.limit:
            self.ban(address, self.rules.ban_s, now)

    def set_invalid(self, address: str, number: int, now: float) -> None:
        """Let the address have made `number` invalid requests, of no known application, just now."""
        known = self._meet(address)
        known.clear()
        if number and known.count("unknown", 429, number, now, self.rules.window_s) >= self.rules.limit:
            self.ban(address, self.rules.ban_s, now)

    def ban(self, address: str, ban_s: float, now: float) -> None:
        """Ban the address; its count starts anew, so the end of the ban is not the start of the next one."""
        known = self._meet(address)
        known.clear()
        known.banned_until = now + ban_s

    def lift(self, address: str) -> None:
        """End the ban of the address."""
        if address in self._known:
            self._known[address].banned_until = 0.0

    def get(self, address: str, now: float) -> Address:
        """Return what is known about an address; for one that did nothing wrong, an empty record."""
        known = self._known.get(address, Address())
        known.expire(now, self.rules.window_s)
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def prune(self, now: float) -> None:
        """Forget addresses without a ban and without an invalid request in the window."""
        for address in list(self._known):
            known = self.get(address, now)
            if not known.total and known.banned_until <= now:
                del self._known[address]
