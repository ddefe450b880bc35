"""Discord's ids: milliseconds since 2015 in the high 42 bits, a counter in the low 22."""

DISCORD_EPOCH_MS = 1_420_070_400_000
_LOW_BITS = 22
_SPAN_MS = 8 * 365 * 86_400_000
_YEAR_MS = 365 * 86_400_000


def derived(digest: bytes) -> int:
    """Return the id, dated between 2016 and 2024, that `digest` (at least 8 bytes) stands for."""
    number = int.from_bytes(digest[:8], "big")
    created_ms = _YEAR_MS + (number >> _LOW_BITS) % _SPAN_MS
    return (created_ms << _LOW_BITS) | (number & ((1 << _LOW_BITS) - 1))


def shard_of(guild_id: int, num_shards: int) -> int:
    """Return the shard that receives a guild's events (documented: Gateway, Sharding)."""
    return (guild_id >> _LOW_BITS) % num_shards


class Sequence:
    """Ids in the order they were asked for, unique within one sandbox."""

    def __init__(self) -> None:
        self._last = 0

    @property
    def last(self) -> int:
        """The greatest id so far; 0 before the first."""
        return self._last

    def go_on_from(self, last: int) -> None:
        """Give no id that is not greater than `last`."""
        self._last = max(self._last, last)

    def next(self, now: float) -> str:
        """Return an id dated `now` (Unix seconds), greater than all before it."""
        candidate = (int(now * 1000) - DISCORD_EPOCH_MS) << _LOW_BITS
        self._last = max(candidate, self._last + 1)
        return str(self._last)


def unix_s(snowflake: str) -> float:
    """Return when an id was made, in Unix seconds."""
    return ((int(snowflake) >> _LOW_BITS) + DISCORD_EPOCH_MS) / 1000
