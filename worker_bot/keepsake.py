"""A bot's cache as bytes: what hikari knows of guilds, packed by one process and unpacked by the next.

A pickle of the cache's own stores, so that cells which several entities share stay shared and counted. It is only read
back by the same releases of Python, hikari and attrs, and can name nothing but their classes.
"""

import array
import builtins
import contextlib
import copyreg
import datetime as dt
import gc
import io
import itertools
import operator
import pickle
import platform
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import hikari
import msgspec

MAX_BYTES = 64 * 1024 * 1024
"""The largest cache that is packed: with it a successor would take seconds to start."""

HEAD_MAX_BYTES = 64 * 1024
"""What a head may take: a bot of a thousand shards needs less."""

_STORES = (
    "_dm_channel_entries",
    "_emoji_entries",
    "_guild_channel_entries",
    "_guild_thread_entries",
    "_guild_entries",
    "_invite_entries",
    "_role_entries",
    "_sticker_entries",
    "_unknown_custom_emoji_entries",
    "_user_entries",
    "_message_entries",
    "_referenced_messages",
)
_ALONE = ("_guild_channel_entries", "_role_entries")
"""Stores whose entries share nothing with any other: they are packed a few at a time. What a pickle is made of lives
until it is done, and with thousands of channels that took 5 MB which Python never gave back."""

_AT_ONCE = 64
_BUILTINS = frozenset({"set", "frozenset", "complex", "bytearray"})


class Stamp(msgspec.Struct, frozen=True):
    """When a cache was packed: the session and last sequence number of each shard then."""

    shards: dict[int, tuple[str, int]]


class _Head(msgspec.Struct, frozen=True):
    made_by: str
    stamp: Stamp
    checksum: int


class KeepsakeError(Exception):
    """The bytes are no cache that this process can take over; the text says why."""


def pack(cache: Any, stamp: Stamp) -> bytes:  # noqa: ANN401 - hikari's, with its private stores
    """Return the cache's content. Raises KeepsakeError if it is too large or holds what cannot be packed.

    May run beside the event loop; a cache that changes meanwhile raises, or gives bytes that are worth nothing.
    """
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.dispatch_table = _Reducers(type(cache._app))
    try:
        with _no_collections():
            whole = {name: {} if name in _ALONE else getattr(cache, name)._data for name in _STORES}
            pickler.dump((cache._me, whole))
            for part in _parts(cache):
                pickler.clear_memo()
                pickler.dump(part)
    except (pickle.PicklingError, TypeError, RuntimeError, AttributeError, RecursionError, KeyError) as fault:
        raise KeepsakeError(f"the cache cannot be packed: {fault!r}") from fault
    body = buffer.getbuffer()
    if len(body) > MAX_BYTES:
        raise KeepsakeError(f"the cache has {len(body)} bytes, more than {MAX_BYTES}")
    head = msgspec.msgpack.encode(_Head(_made_by(cache), stamp, zlib.crc32(body)))
    return b"".join((len(head).to_bytes(4, "little"), head, body))


def _parts(cache: Any) -> Iterator[tuple[str, dict[Any, Any]]]:  # noqa: ANN401
    """Yield the entries of the stores that stand alone, a few at a time."""
    for name in _ALONE:
        entries = iter(getattr(cache, name)._data.items())
        while part := dict(itertools.islice(entries, _AT_ONCE)):
            yield name, part


class Found:
    """What `pack` packed, read back for the same application. stamp: when it was packed.

    surplus: parts that the cache to be filled does not keep.
    """

    def __init__(self, stamp: Stamp, me: Any, stores: dict[str, dict[Any, Any]], surplus: int = 0) -> None:  # noqa: ANN401
        self.stamp = stamp
        self._me = me
        self._stores = stores
        self._surplus = surplus

    def fill(self, cache: Any) -> None:  # noqa: ANN401
        """Put it into the cache, which is empty."""
        for name in _STORES:
            getattr(cache, name)._data.update(self._stores[name])
        cache._me = self._me or cache._me
        if self._surplus:
            _take_out(cache, self._surplus)


def unpack(cache: Any, packed: bytes) -> Found:  # noqa: ANN401
    """Read what `pack` returned, for this cache but without changing it. Raises KeepsakeError if it cannot be.

    May run beside the event loop.
    """
    size = int.from_bytes(packed[:4], "little")
    body = memoryview(packed)[4 + size :]
    try:
        head = msgspec.msgpack.decode(packed[4 : 4 + size], type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise KeepsakeError("the cache left behind is damaged") from fault
    surplus = _surplus(head.made_by, cache)
    if zlib.crc32(body) != head.checksum:
        raise KeepsakeError("the cache left behind is damaged")
    try:
        with _no_collections():
            source, size = io.BytesIO(body), len(body)
            me, stores = _Unpickler(source, cache._app).load()
            while source.tell() < size:
                name, part = _Unpickler(source, cache._app).load()
                stores[name].update(part)
        return Found(head.stamp, me, {name: dict(stores[name]) for name in _STORES}, surplus)
    except Exception as fault:
        raise KeepsakeError(f"the cache left behind cannot be read: {fault!r}") from fault


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector away from tens of thousands of new objects, of which none is garbage.

    It would take three times as long.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def kept(settings: Any) -> str:  # noqa: ANN401 - hikari's, of which its interface has only a part
    """Return what a cache of these settings keeps, as a text to compare with `keeps_all`."""
    what = (int(settings.components), settings.max_messages, settings.max_dm_channel_ids, settings.only_my_member)
    return f"settings {what}"


def keeps_all(before: str, after: str) -> bool:
    """Return whether a cache that kept `before` (as `kept` has it) has all that one of `after` is to keep."""
    was, will_be = _SETTINGS.search(before), _SETTINGS.search(after)
    if was is None or will_be is None or was["bounds"] != will_be["bounds"]:
        return before == after
    return not int(will_be["parts"]) & ~int(was["parts"])


_SETTINGS = re.compile(r"settings \((?P<parts>\d+), (?P<bounds>.*)\)$")
_Part = hikari.api.CacheComponents
_TAKEN_OUT_BY = {
    _Part.VOICE_STATES: "clear_voice_states",
    _Part.PRESENCES: "clear_presences",
    _Part.MESSAGES: "clear_messages",
    _Part.MEMBERS: "clear_members",
    _Part.EMOJIS: "clear_emojis",
    _Part.GUILD_STICKERS: "clear_stickers",
    _Part.INVITES: "clear_invites",
    _Part.GUILD_THREADS: "clear_threads",
    _Part.ROLES: "clear_roles",
    _Part.GUILD_CHANNELS: "clear_guild_channels",
    _Part.DM_CHANNEL_IDS: "clear_dm_channel_ids",
    _Part.GUILDS: "clear_guilds",
}
"""In an order in which nothing is left that another part still refers to."""


def _take_out(cache: Any, parts: int) -> None:  # noqa: ANN401
    """Take parts out of a cache whose settings do not have them: hikari itself would leave them for ever."""
    settings = cache._settings
    cache._settings = hikari.impl.CacheSettings(
        components=settings.components | hikari.api.CacheComponents(parts),
        max_messages=settings.max_messages,
        max_dm_channel_ids=settings.max_dm_channel_ids,
        only_my_member=settings.only_my_member,
    )
    try:
        for part, method in _TAKEN_OUT_BY.items():
            if part & parts:
                getattr(cache, method)()
    finally:
        cache._settings = settings


def _made_by(cache: Any) -> str:  # noqa: ANN401
    releases = f"Python {platform.python_version()}, hikari {hikari.__version__}, attrs {attrs.__version__}"
    return f"{releases}, {kept(cache.settings)}"


def _surplus(made_by: str, cache: Any) -> int:  # noqa: ANN401
    """Return the parts that a cache left behind has and this one does not keep. Raises KeepsakeError: it has others."""
    ours = _made_by(cache)
    was = _SETTINGS.search(made_by)
    same_releases = made_by.partition(", settings")[0] == ours.partition(", settings")[0]
    if was is None or not same_releases or not keeps_all(made_by, ours):
        raise KeepsakeError(f"the cache left behind was made by {made_by}")
    return int(was["parts"]) & ~int(cache.settings.components)


def _the_app() -> None:
    """Stand for the application in a pickle."""


class _Reducers(dict[type, Callable[[Any], Any]]):
    """How objects are taken apart: with the values of an attrs class as a tuple, half the time of attrs' own way."""

    def __init__(self, app: type) -> None:
        super().__init__(
            {
                app: lambda _: (_the_app, ()),
                hikari.Snowflake: lambda snowflake: (hikari.Snowflake, (int(snowflake),)),
            }
        )

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        names = [field.name for field in getattr(kind, "__attrs_attrs__", ())]
        if not names:
            raise KeyError(kind)
        values = operator.attrgetter(*names)
        several = len(names) > 1

        def reduce(entity: Any) -> Any:  # noqa: ANN401
            taken = values(entity)
            return copyreg.__newobj__, (kind,), taken if several else (taken,)  # type: ignore[attr-defined]

        self[kind] = reduce
        return reduce


class _Unpickler(pickle.Unpickler):
    """Finds hikari's classes, dates and sets, and nothing that could be made to run anything else."""

    def __init__(self, source: io.BytesIO, app: Any) -> None:  # noqa: ANN401
        super().__init__(source)
        self._app = app

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) == (_the_app.__module__, _the_app.__name__):
            return lambda: self._app
        if module == "builtins" and name in _BUILTINS:
            return getattr(builtins, name)
        if (module, name) in {("array", "array"), ("array", "_array_reconstructor")}:
            return getattr(array, name)
        if module == "datetime" and name in {"datetime", "timedelta", "timezone"}:
            return getattr(dt, name)
        found = super().find_class(module, name) if module.startswith("hikari.") and "." not in name else None
        if not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a cache")
        return found
