"""Rows on their way to a store: gathered, kept while it is away; of those that it refuses the bad ones are left out."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from flotilla.errors import RetryError
from supervisor.progress import Progress, pause_s
from supervisor.storing import Storing

AT_ONCE = 1000
"""Rows of one transaction."""

TRIES = 64
"""Transactions that the search for one bot's bad rows may take each time; what is refused then is set aside whole."""

Row = TypeVar("Row")
Refused = Callable[[str | None, str, int, Exception], object]
"""Told of rows that can never be stored: whose they are (a bot's id), what they are, how many, and why."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class _Batch(Generic[Row]):
    """Rows that came together. then: called when none of them waits any more."""

    rows: tuple[Row, ...]
    key: Hashable
    then: Callable[[], object] | None


class Writer(Generic[Row]):
    """Stores rows of one kind in the background, many in one transaction.

    store: stores rows, all or nothing. RetryError means that the database is away, and is waited for. Whatever else it
    raises is the fault of some of the rows: they are found, told to `refused` and set aside; the others are stored.
    owner: the id of the bot that a row is of. lesser: what of a row is worth storing in its place if it is refused.
    elsewhere: takes rows while the database is away, and returns whether they are safe. also: done after each time
    that the database was there. timeout_s: what takes longer counts as away; only for what may be stored twice.
    """

    def __init__(
        self,
        what: str,
        store: Callable[[Sequence[Row]], Awaitable[object]],
        refused: Refused,
        *,
        owner: Callable[[Row], str | None],
        lesser: Callable[[Row], Row | None] = lambda _: None,
        elsewhere: Callable[[Sequence[Row]], Awaitable[bool]] | None = None,
        also: Callable[[], Awaitable[object]] | None = None,
        max_waiting: int = 10_000,
        gather_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> None:
        self.storing = Storing(what, self._store_all, gather_s=gather_s)
        self._what = what
        self._store, self._refused = store, refused
        self._owner, self._lesser = owner, lesser
        self._elsewhere, self._also = elsewhere, also
        self._max_waiting, self._timeout_s = max_waiting, timeout_s
        self._newest: dict[Hashable, _Batch[Row]] = {}
        self._queue: dict[Hashable, _Batch[Row]] = {}
        self._numbers = itertools.count()
        self._progress = Progress()

    def put(self, *rows: Row, key: Hashable = None, then: Callable[[], object] | None = None) -> int:
        """Store rows soon; return the mark for `stored`.

        key: they take the place of those with the same key that wait. Without one they wait in line, of which the
        oldest are dropped, and that is logged, beyond `max_waiting`. then: called once they are stored or set aside.
        """
        if key is not None:
            self._newest[key] = _Batch(rows, key, then)
        else:
            number = next(self._numbers)
            self._queue[number] = _Batch(rows, number, then)
            if len(self._queue) > self._max_waiting:
                self._drop_oldest()
        self._progress.put += 1
        self.storing.ask()
        return self._progress.put

    @property
    def mark(self) -> int:
        """Of what was put last."""
        return self._progress.put

    @property
    def reached(self) -> int:
        """The mark up to which everything is stored, or set aside."""
        return self._progress.stored

    @property
    def is_away(self) -> bool:
        """Return whether the store did not take what it was given last."""
        return self.storing.failures > 0

    async def stored(self, mark: int | None = None) -> None:
        """Return when everything up to `mark`, or up to now, is in the database, or set aside."""
        await self._progress.until_stored(self._progress.put if mark is None else mark)

    def waiting(self) -> Iterator[Row]:
        """Yield the rows that are not stored yet, those on their way included."""
        for batch in (*self._newest.values(), *self._queue.values()):
            yield from batch.rows

    def forget(self, bot_id: str) -> None:
        """Drop what waits of a bot that is removed."""
        for waiting in (self._newest, self._queue):
            for key in [key for key, it in waiting.items() if any(self._owner(row) == bot_id for row in it.rows)]:
                del waiting[key]

    async def run(self) -> None:
        """Store until cancelled."""
        await self.storing.run()

    async def flush(self) -> None:
        """Store now what waits. Raises RetryError, and then keeps it unless it is safe elsewhere."""
        await self.storing.once()

    async def save(self, rows: Sequence[Row]) -> None:
        """Store rows that do not wait here, and set aside those that are refused. Raises RetryError. For `also`."""
        try:
            await self._try(rows)
        except RetryError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is the fault of some of these rows
            await self._search(sorted(rows, key=lambda row: self._owner(row) or ""), Counter())

    # -----------------------------------------------------------------------------------------------------------------

    async def _store_all(self) -> float:
        mark, count = self._progress.put, 0
        parts = list(self._parts())
        for number, part in enumerate(parts):
            rows = [row for batch in part for row in batch.rows]
            count += len(rows)
            try:
                if rows:
                    await self.save(rows)
            except RetryError:
                rest = [batch for part in parts[number:] for batch in part]
                if self._elsewhere is not None and await self._elsewhere([row for it in rest for row in it.rows]):
                    self._done(rest)
                    self._progress.reach(mark)
                raise
            self._done(part)
        self._progress.reach(mark)
        if self._also is not None:
            await self._also()
        return pause_s(count)

    def _parts(self) -> Iterator[list[_Batch[Row]]]:
        """Yield what waits now, in parts of one transaction each."""
        part: list[_Batch[Row]] = []
        size = 0
        for batch in (*self._newest.values(), *self._queue.values()):
            part.append(batch)
            size += len(batch.rows)
            if size >= AT_ONCE:
                yield part
                part, size = [], 0
        if part:
            yield part

    def _done(self, batches: Sequence[_Batch[Row]]) -> None:
        for batch in batches:
            for waiting in (self._newest, self._queue):
                if waiting.get(batch.key) is batch:
                    del waiting[batch.key]
            if batch.then is not None:
                batch.then()

    async def _try(self, rows: Sequence[Row]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store(rows)
        except TimeoutError:
            raise RetryError("The database hangs.", code="database_unavailable") from None

    async def _search(self, rows: list[Row], tries: Counter[str | None]) -> None:
        """Store what can be stored of rows that were refused together; those of one bot stand side by side.

        They are tried once more first: what is no fault of theirs, as a connection that was closed, happens once.
        """
        try:
            await self._try(rows)
        except RetryError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `save`
            owner = self._owner(rows[0])
            of_one_bot = owner is not None and owner == self._owner(rows[-1])
            tries[owner] += of_one_bot
            if len(rows) == 1 or (of_one_bot and tries[owner] > TRIES):
                await self._set_aside(owner, rows, error)
                return
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                await self._search(half, tries)

    async def _set_aside(self, owner: str | None, rows: list[Row], error: Exception) -> None:
        self._refused(owner, self._what, len(rows), error)
        lesser = self._lesser(rows[0]) if len(rows) == 1 else None
        if lesser is not None:
            try:
                await self._try([lesser])
            except RetryError:
                raise
            except Exception as fault:  # noqa: BLE001 - as in `save`
                log.debug("rows.not_even_in_part", what=self._what, bot_id=owner, error=repr(fault))

    def _drop_oldest(self) -> None:
        count = max(1, self._max_waiting // 10)
        for key in list(itertools.islice(self._queue, count)):
            del self._queue[key]
        log.error("rows.dropped", what=self._what, rows=count)
