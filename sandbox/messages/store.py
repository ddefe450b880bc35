"""The messages of every channel, and the nonces that keep one from being sent twice. Pure."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

import msgspec

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.messages.pins import Pins
from sandbox.messages.reactions import Reactions
from sandbox.snowflakes import unix_s
from sandbox.world.objects import Json

KeptNonce = tuple[str, str, str, float, str]
"""Author, channel, nonce, when it was sent (Unix seconds), and the message's id."""


def _size(message: Json) -> int:
    """Return about how many bytes a message takes; one of text alone is not worth encoding for it."""
    if message.get("embeds") or message.get("components") or "referenced_message" in message:
        return len(msgspec.json.encode(message))
    return 1_000 + len(message.get("content", ""))


class MessageStore:
    """Messages by channel, newest last. A channel keeps the last thousand, all together a bounded number and size."""

    def __init__(self) -> None:
        self._channels: dict[str, OrderedDict[str, Json]] = {}
        self._order: OrderedDict[str, str] = OrderedDict()  # message id -> channel id, oldest first
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self.reactions = Reactions()
        self.pins = Pins()
        self._nonces: dict[tuple[str, str, str], tuple[float, Json]] = {}

    def sent_before(self, author_id: str, channel_id: str, nonce: object, now: float) -> Json | None:
        """Return the message that an author sent to the channel with this nonce in the past few minutes."""
        sent_at, message = self._nonces.get((author_id, channel_id, str(nonce)), (float("-inf"), {}))
        return message if now - sent_at < limits.NONCE_WINDOW_S else None

    def remember_nonce(self, author_id: str, message: Json, now: float) -> None:
        """Note that `message` was sent with its nonce to be enforced."""
        self._nonces[author_id, message["channel_id"], str(message["nonce"])] = (now, message)
        if len(self._nonces) > limits.NONCES_KEPT:
            del self._nonces[next(iter(self._nonces))]

    def keep(self, message: Json) -> Json:
        """Keep a message, new or changed, and return it."""
        channel_id, message_id = message["channel_id"], message["id"]
        kept = self._channels.setdefault(channel_id, OrderedDict())
        kept[message_id] = message
        self._bytes += (size := _size(message)) - self._sizes.get(message_id, 0)
        self._sizes[message_id] = size
        self._order[message_id] = channel_id
        if len(kept) > limits.MESSAGES_KEPT:
            self._forget(channel_id, next(iter(kept)))
        while len(self._order) > limits.MESSAGES_KEPT_IN_ALL or self._bytes > limits.MESSAGES_KEPT_BYTES:
            oldest, where = next(iter(self._order.items()))
            self._forget(where, oldest)
        return message

    def latest(self) -> list[Json]:
        """Return the last messages of each channel and those that are pinned, all by age, the oldest first."""
        left_out: set[str] = set()
        for channel_id, rows in self._channels.items():
            skipped = len(rows) - limits.MESSAGES_SAVED
            if skipped > 0:
                left_out |= set(islice(rows, skipped)).difference(each for each, _ in self.pins.of(channel_id))
        return [self._channels[where][each] for each, where in self._order.items() if each not in left_out]

    def nonces(self, message_ids: Collection[str]) -> list[KeptNonce]:
        """Return the nonces that these messages were sent with, for `restore_nonces`."""
        kept = ((*key, at, message["id"]) for key, (at, message) in self._nonces.items())
        return [nonce for nonce in kept if nonce[-1] in message_ids]

    def restore_nonces(self, nonces: Iterable[KeptNonce]) -> None:
        """Take over the nonces of messages that are kept."""
        for author_id, channel_id, nonce, at, message_id in nonces:
            message = self.find(channel_id, message_id)
            if message is not None:
                self._nonces[author_id, channel_id, nonce] = (at, message)

    def find(self, channel_id: str, message_id: str) -> Json | None:
        """Return a message, or None if there is none with this id."""
        kept = self._channels.get(channel_id)
        return None if kept is None else kept.get(message_id)

    def get(self, channel_id: str, message_id: str) -> Json:
        """Return a message; raise DiscordError 10008 if there is none with this id."""
        message = self.find(channel_id, message_id)
        if message is None:
            raise DiscordError(errors.UNKNOWN_MESSAGE)
        return message

    def seen_by(self, message: Json, viewer_id: str) -> Json:
        """Return a message with its reactions, as a user sees them."""
        return self.reactions.seen_by(message, viewer_id)

    def delete(self, channel_id: str, message_id: str) -> Json:
        """Delete a message and return it; raise DiscordError 10008 if there is none with this id."""
        message = self.get(channel_id, message_id)
        self._forget(channel_id, message_id)
        return message

    def _forget(self, channel_id: str, message_id: str) -> None:
        kept = self._channels[channel_id]
        del kept[message_id]
        if not kept:
            del self._channels[channel_id]
        del self._order[message_id]
        self._bytes -= self._sizes.pop(message_id)
        self.reactions.clear(message_id)
        self.pins.remove(channel_id, message_id)

    def drop_channel(self, channel_id: str) -> None:
        """Forget the messages of a channel that is no more."""
        for message_id in list(self._channels.get(channel_id, {})):
            self._forget(channel_id, message_id)

    def page(
        self,
        channel_id: str,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
    ) -> list[Json]:
        """Return at most `limit` messages, newest first; `before` and `after` are exclusive, `around` is inclusive."""
        newest_first = list(reversed(self._channels.get(channel_id, {}).values()))
        if around is not None:
            newer = [row for row in newest_first if int(row["id"]) > around]
            older = [row for row in newest_first if int(row["id"]) <= around]
            return newer[len(newer) - min(len(newer), limit // 2) :] + older[: limit - min(len(newer), limit // 2)]
        rows = [
            row
            for row in newest_first
            if (before is None or int(row["id"]) < before) and (after is None or int(row["id"]) > after)
        ]
        return rows[-limit:] if after is not None else rows[:limit]

    def ids_by(self, author_id: str, channel_id: str, since: float) -> list[str]:
        """Return the ids of the messages an author wrote in a channel since then (Unix seconds), oldest first."""
        kept: Mapping[str, Json] = self._channels.get(channel_id, {})
        return [each for each, row in kept.items() if row["author"]["id"] == author_id and unix_s(each) >= since]

    def prune(self, now: float) -> None:
        """Forget nonces past their window."""
        if self._nonces:
            self._nonces = {key: row for key, row in self._nonces.items() if now - row[0] < limits.NONCE_WINDOW_S}
