"""What the supervisor before left behind, until each of it is taken over."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from flotilla.ports import FleetRow
from supervisor.containment import Containment

T = TypeVar("T")


class Adoption:
    """Rows of bots that are to be adopted. One that cannot be is tried again, and waited for: its worker may live."""

    def __init__(self, containment: Containment) -> None:
        self._containment = containment
        self._rows: dict[str, FleetRow] = {}
        self._seen_at: datetime | None = None

    def of(self, rows: Iterable[FleetRow], seen_at: datetime | None) -> None:
        """Adopt these. seen_at: when the supervisor before was last seen."""
        self._rows = {row.bot.id: row for row in rows}
        self._seen_at = seen_at

    def awaits(self, bot_id: str) -> bool:
        """Return whether a bot is still to be adopted."""
        return bot_id in self._rows

    def rows(self) -> list[FleetRow]:
        """Return what is stored of all bots that are still to be adopted. May be called in any thread."""
        return list(self._rows.values())

    def row(self, bot_id: str) -> FleetRow | None:
        """Return what is stored of a bot that is still to be adopted."""
        return self._rows.get(bot_id)

    def attempt(self, adopt: Callable[[FleetRow, datetime | None], T]) -> Iterator[T]:
        """Yield what `adopt` made of each row for which the time has come, and that did not fail."""
        for row in list(self._rows.values()):
            made: list[T] = []

            def one(row: FleetRow = row, made: list[T] = made) -> None:
                made.append(adopt(row, self._seen_at))

            if self._containment.retry(row.bot, "adoption", one):
                del self._rows[row.bot.id]
                yield from made
