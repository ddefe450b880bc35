"""Pins: which messages of a channel are pinned, and since when. Pure."""

from sandbox import errors, limits
from sandbox.errors import DiscordError


class Pins:
    """The pins of all channels. Times are Unix seconds."""

    def __init__(self) -> None:
        self._by_channel: dict[str, dict[str, float]] = {}

    def add(self, channel_id: str, message_id: str, now: float) -> bool:
        """Pin a message; return whether that is new. Raises DiscordError 30003 for one pin too many."""
        pins = self._by_channel.get(channel_id, {})
        if message_id in pins:
            return False
        if len(pins) >= limits.PINS_MAX:
            raise DiscordError(errors.TOO_MANY_PINS)
        self._by_channel.setdefault(channel_id, {})[message_id] = now
        return True

    def remove(self, channel_id: str, message_id: str) -> bool:
        """Unpin a message; return whether it was pinned."""
        pins = self._by_channel.get(channel_id, {})
        removed = pins.pop(message_id, None) is not None
        if removed and not pins:
            del self._by_channel[channel_id]
        return removed

    def of(self, channel_id: str) -> list[tuple[str, float]]:
        """Return (message id, time of pinning) of each pin, newest first."""
        return list(reversed(self._by_channel.get(channel_id, {}).items()))

    def all(self) -> dict[str, dict[str, float]]:
        """Return when which message of which channel was pinned, for `restore`."""
        return self._by_channel

    def restore(self, pins: dict[str, dict[str, float]]) -> None:
        """Take over the pins that were there."""
        self._by_channel = pins

    def last_at(self, channel_id: str) -> float | None:
        """Return when the newest pin was made, None without any."""
        return max(self._by_channel.get(channel_id, {}).values(), default=None)
