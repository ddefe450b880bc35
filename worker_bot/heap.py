"""Looks at what this process' memory is made of, in slices, so that the bot goes on meanwhile.

Of every object only its type and size are taken, never its value. The objects that a worker was forked with are frozen
(worker_bot/memory.py), so the garbage collector does not name them: what is found is the worker's own.
"""

import asyncio
import contextlib
import gc
import itertools
import sys
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Sized
from typing import Any, cast

import psutil

from flotilla.domain.heap import MAX_NAME, MAX_TRACE_S, TOP, Allocation, HeapReport, HeapType
from flotilla.redaction import redact_text

MAX_LOOKED_AT = 200_000
MAX_LOOKED_AT_BRIEF = 20_000
SLICE_S = 0.005
CHECK_EVERY = 64
FEW = 500
"""Of a container with more members than this the first ones stand for all."""

MAX_DEPTH = 4
HELD_HERE = 3
"""References to a member that the walk itself holds: its list, its variable, and getrefcount's argument."""

_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_CACHES = ("guilds", "guild_channels", "threads", "roles", "emojis", "stickers", "messages", "users", "invites")
_CACHES_BY_GUILD = ("members", "presences", "voice_states")
_tracing = asyncio.Lock()


class _Tally:
    """Counts objects by type. What the garbage collector does not know is found through what holds it.

    Something that is held in ten places is met ten times, and each time counted as a tenth.
    """

    def __init__(self) -> None:
        self.counts: dict[type, float] = {}
        self.bytes: dict[type, float] = {}

    def look(self, found: object) -> None:
        self._add(found, 1.0)
        self._members(found, 1.0, 0)

    def _add(self, found: object, weight: float) -> None:
        kind = type(found)
        self.counts[kind] = self.counts.get(kind, 0.0) + weight
        self.bytes[kind] = self.bytes.get(kind, 0.0) + weight * _size(found)

    def _members(self, holder: object, weight: float, depth: int) -> None:
        members, stands_for = _members_of(holder)
        for member in members:
            if gc.is_tracked(member):
                continue
            share = weight * stands_for / max(1, sys.getrefcount(member) - HELD_HERE)
            self._add(member, share)
            if depth < MAX_DEPTH and type(member) in {dict, tuple}:
                self._members(member, share, depth + 1)

    def largest(self, one_in: int) -> tuple[HeapType, ...]:
        """Return the types that take most. one_in: for each object that was looked at so many are there."""
        kinds = sorted(self.bytes, key=lambda kind: self.bytes[kind], reverse=True)[:TOP]
        return tuple(
            HeapType(_name(kind), round(self.counts[kind] * one_in), round(self.bytes[kind] * one_in)) for kind in kinds
        )


def _plain_dicts(packages: Iterable[str]) -> Iterator[object]:
    """Yield the dicts that a bot's modules and their classes hold and that the garbage collector does not know.

    It does not for as long as there are only numbers and texts in them, and what holds them is frozen.
    """
    roots = {name.partition(".")[0] for name in packages}
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in roots]
    kinds = [found for module in modules for found in list(vars(module).values()) if type(found) is type]
    held = (found for holder in (*modules, *kinds) for found in list(vars(holder).values()))
    yield from {id(found): found for found in held if type(found) is dict and not gc.is_tracked(found)}.values()


def _members_of(holder: object) -> tuple[list[object], float]:
    """Return what an object refers to, and how many members each of them stands for."""
    # Of exactly these types: a bot's own may do what they like when they are measured or iterated over.
    if type(holder) not in _CONTAINERS or (length := len(cast("Sized", holder))) <= FEW:
        return gc.get_referents(holder), 1.0
    values = cast("dict[object, object]", holder).values() if type(holder) is dict else holder
    try:
        return list(itertools.islice(cast("Iterable[object]", values), FEW)), length / FEW
    except RuntimeError:  # another thread changed it
        return [], 1.0


def _size(found: object) -> int:
    try:
        return sys.getsizeof(found)
    except Exception:  # noqa: BLE001 - a bot's own __sizeof__ may do what it likes
        return 0


def _name(kind: type) -> str:
    module, name = str(getattr(kind, "__module__", "?")), str(getattr(kind, "__qualname__", "?"))
    return _text(name if module == "builtins" else f"{module}.{name}")[:MAX_NAME]


def _text(found: str) -> str:
    return redact_text(found.encode(errors="replace").decode())


async def look(
    cache: Any = None,  # noqa: ANN401 - hikari's
    packages: Iterable[str] = (),
    *,
    brief: bool = False,
    trace_s: float = 0.0,
) -> HeapReport:
    """Return what this process' memory is made of.

    cache: hikari's, whose sizes are told too. packages: names of packages with the bot's own code. brief: look at
    fewer objects. trace_s: seconds for which allocations are traced first, which makes everything slower meanwhile; at
    most `MAX_TRACE_S`.
    """
    allocations = await _trace(min(trace_s, MAX_TRACE_S)) if trace_s > 0 else None
    pauses = [0.0]
    began = time.perf_counter()
    objects = gc.get_objects()
    objects.extend(_plain_dicts(packages))
    total = len(objects)
    one_in = max(1, -(-total // (MAX_LOOKED_AT_BRIEF if brief else MAX_LOOKED_AT)))
    tally = _Tally()
    for index in range(0, total, one_in):
        tally.look(objects[index])
        if index // one_in % CHECK_EVERY == 0 and time.perf_counter() - began > SLICE_S:
            pauses.append(time.perf_counter() - began)
            await asyncio.sleep(0)
            began = time.perf_counter()
    del objects
    caches = dict(_cache_sizes(cache))
    memory = psutil.Process().memory_full_info()
    types = tally.largest(one_in)
    pauses.append(time.perf_counter() - began)
    return HeapReport(
        rss_bytes=memory.rss,
        uss_bytes=memory.uss,
        counted_bytes=round(sum(tally.bytes.values()) * one_in),
        objects=total,
        one_in=one_in,
        types=types,
        caches=caches,
        took_ms=round(sum(pauses) * 1000, 1),
        longest_pause_ms=round(max(pauses) * 1000, 1),
        allocations=allocations,
        traced_s=trace_s if allocations is not None else 0.0,
    )


async def _trace(seconds: float) -> tuple[Allocation, ...]:
    """Trace for some time; return what was allocated meanwhile and is still there. One trace at a time."""
    async with _tracing:
        ours = not tracemalloc.is_tracing()
        if ours:
            tracemalloc.start(1)
        try:
            before = None if ours else tracemalloc.take_snapshot()
            await asyncio.sleep(seconds)
            snapshot = tracemalloc.take_snapshot()
        finally:
            if ours:
                tracemalloc.stop()
        return await asyncio.to_thread(_largest_since, before, snapshot)


def _largest_since(before: tracemalloc.Snapshot | None, snapshot: tracemalloc.Snapshot) -> tuple[Allocation, ...]:
    ours = [tracemalloc.Filter(inclusive=False, filename_pattern=name) for name in (__file__, tracemalloc.__file__)]
    snapshot = snapshot.filter_traces(ours)
    if before is None:
        rows = [(row.traceback[0], row.count, row.size) for row in snapshot.statistics("lineno")[:TOP]]
    else:
        differences = snapshot.compare_to(before.filter_traces(ours), "lineno")[:TOP]
        rows = [(row.traceback[0], row.count_diff, row.size_diff) for row in differences if row.size_diff > 0]
    return tuple(
        Allocation(_text(f"{frame.filename}:{frame.lineno}")[-MAX_NAME:], count, size) for frame, count, size in rows
    )


def _cache_sizes(cache: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - hikari's, or of a kind of its own
    for name in () if cache is None else (*_CACHES, *_CACHES_BY_GUILD):
        with contextlib.suppress(Exception):  # a bot may bring a cache of its own
            view = getattr(cache, f"get_{name}_view")()
            size = sum(map(len, view.values())) if name in _CACHES_BY_GUILD else len(view)
            if size:
                yield name, size
