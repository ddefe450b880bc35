"""What a worker's memory is made of: types, counts, sizes and places in code. Never values: they may be secrets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, structs

from flotilla.domain.bounds import plain

TOP = 25
TOP_BRIEF = 10
MAX_CACHES = 20
MAX_NAME = 120
MAX_TRACE_S = 300.0
Count = Annotated[int, Meta(ge=0, lt=2**53)]
"""JavaScript's integers, too: the dashboard shows it."""

Amount = Annotated[float, Meta(ge=0, le=1e9)]


class HeapType(msgspec.Struct, frozen=True):
    """All objects of one type, in round figures. name: with its module."""

    name: str
    count: Count
    bytes: Count


class Allocation(msgspec.Struct, frozen=True):
    """What one line of code has allocated while it was traced, and not given back. where: file:line."""

    where: str
    count: Count
    bytes: Count


class HeapReport(msgspec.Struct, frozen=True):
    """One look at a worker's heap.

    rss_bytes, uss_bytes: as the kernel counts them. counted_bytes: of all objects found, those that it was forked with
    not counted; what is missing to USS is memory of C libraries, of the interpreter, and free. objects: how many the
    garbage collector knows. one_in: so many of them were passed over for each that was looked at. types: the
    largest, biggest first. caches: number of things hikari keeps, by kind. allocations: None unless traced, for
    `traced_s`, the largest first. took_ms: of processor time; longest_pause_ms: for which the bot did nothing else.
    """

    rss_bytes: Count
    uss_bytes: Count
    counted_bytes: Count
    objects: Count
    one_in: Count
    types: tuple[HeapType, ...]
    caches: dict[str, Count]
    took_ms: Amount
    longest_pause_ms: Amount
    allocations: tuple[Allocation, ...] | None = None
    traced_s: Amount = 0.0

    def bounded(self) -> "HeapReport":
        """Return it with no more than a worker of ours tells, less than 16 KB of JSON: a bot's code is not ours."""
        return structs.replace(
            self,
            types=tuple(structs.replace(row, name=plain(row.name, MAX_NAME)) for row in self.types[:TOP]),
            caches={plain(name, MAX_NAME): count for name, count in list(self.caches.items())[:MAX_CACHES]},
            allocations=None
            if self.allocations is None
            else tuple(
                structs.replace(row, where=plain(row.where[-MAX_NAME:], MAX_NAME)) for row in self.allocations[:TOP]
            ),
        )

    def brief(self) -> dict[str, Any]:
        """Return what goes with a happening: less than 4 KB of JSON."""
        return {
            "uss_bytes": self.uss_bytes,
            "counted_bytes": self.counted_bytes,
            "types": [[row.name, row.count, row.bytes] for row in self.types[:TOP_BRIEF]],
            "caches": self.caches,
        }


@dataclass(frozen=True, slots=True)
class Heap:
    """The answer to a request for a bot's heap. at: aware UTC.

    epoch: the `heap_epoch` that this answers. report: None if there was nothing to ask, and `fault` says why.
    """

    bot_id: str
    epoch: int
    at: datetime
    generation: int
    report: HeapReport | None
    fault: str | None = None


def parse_report(stored: object) -> HeapReport | None:
    """Return a report as it was stored; nonsense, or one of another release, gives none."""
    try:
        return None if stored is None else msgspec.convert(stored, HeapReport)
    except msgspec.ValidationError:
        return None
