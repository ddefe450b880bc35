"""Messages: what Discord refuses in one, how one looks, and those of each channel. Pure."""

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.snowflakes import Sequence
from sandbox.world.objects import Json, User

EPHEMERAL = 1 << 6
LOADING = 1 << 7
Path = tuple[str | int, ...]


def check(body: Json, path: Path = (), *, may_be_empty: bool = False) -> None:
    """Raise DiscordError 50035 or 50006 for what Discord refuses in a message's body.

    path: where the message lies in the request, such as ("data",) in an interaction callback.
    """
    faults = FieldFaults()
    if body.get("content") is not None:
        faults.text((*path, "content"), body["content"], limits.CONTENT_MAX)
    if body.get("nonce") is not None:
        faults.text((*path, "nonce"), str(body["nonce"]), limits.NONCE_MAX)
    faults.integer((*path, "flags"), body.get("flags"))
    if body.get("components") is not None:
        faults.sequence((*path, "components"), body["components"], limits.COMPONENTS_MAX)
    if body.get("embeds") is not None:
        _check_embeds(body["embeds"], faults, (*path, "embeds"))
    faults.raise_if_any()
    shown = ("content", "embeds", "attachments", "components", "sticker_ids", "poll")
    if not may_be_empty and not any(body.get(key) for key in shown):
        raise DiscordError(errors.EMPTY_MESSAGE)


def _check_embeds(raw: object, faults: FieldFaults, path: Path) -> None:
    total = 0
    for index, embed in enumerate(faults.sequence(path, raw, limits.EMBEDS_MAX)):
        if isinstance(embed, dict):
            total += _check_embed(embed, faults, (*path, index))
        else:
            faults.add((*path, index), "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    if total > limits.EMBEDS_TOTAL_MAX:
        message = f"Embed size exceeds maximum size of {limits.EMBEDS_TOTAL_MAX}"
        faults.add(path, "MAX_EMBED_SIZE_EXCEEDED", message)


def _check_embed(embed: Json, faults: FieldFaults, path: Path) -> int:
    texts: list[tuple[Path, object, int]] = [
        ((*path, key), embed.get(key), longest) for key, longest in limits.EMBED_TEXT_MAX.items()
    ]
    footer = faults.mapping((*path, "footer"), embed.get("footer"))
    author = faults.mapping((*path, "author"), embed.get("author"))
    texts.append(((*path, "footer", "text"), footer.get("text"), limits.EMBED_FOOTER_MAX))
    texts.append(((*path, "author", "name"), author.get("name"), limits.EMBED_AUTHOR_MAX))
    for index, row in enumerate(faults.sequence((*path, "fields"), embed.get("fields") or [], limits.EMBED_FIELDS_MAX)):
        here = (*path, "fields", index)
        for key, longest in limits.EMBED_FIELD_TEXT_MAX.items():
            if not isinstance(row, dict) or not row.get(key):
                faults.required((*here, key))
            else:
                texts.append(((*here, key), row[key], longest))
    given = [text for text in texts if text[1] is not None]
    return sum(len(str(value)) for where, value, longest in given if faults.text(where, value, longest))


def _embed(embed: Json) -> Json:
    kept = {key: value for key, value in embed.items() if value is not None} | {"type": "rich"}
    if "fields" in kept:
        kept["fields"] = [{**row, "inline": bool(row.get("inline"))} for row in kept["fields"]]
    return kept


def timestamp(now: float) -> str:
    """Return Unix seconds as Discord writes times."""
    return datetime.fromtimestamp(now, UTC).isoformat()


def create(body: Json, message_id: str, channel_id: str, author: User, now: float) -> Json:
    """Return the message object that a checked body makes."""
    message: Json = {
        "id": message_id,
        "channel_id": channel_id,
        "type": 0,
        "author": author.as_json(),
        "content": body.get("content") or "",
        "embeds": [_embed(embed) for embed in body.get("embeds") or []],
        "attachments": [],
        "components": body.get("components") or [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "tts": bool(body.get("tts")),
        "pinned": False,
        "flags": body.get("flags") or 0,
        "timestamp": timestamp(now),
        "edited_timestamp": None,
    }
    if body.get("nonce") is not None:
        message["nonce"] = body["nonce"]
    return message


def edited(message: Json, body: Json, now: float) -> Json:
    """Return the message with the fields of a checked body changed; fields that are not in the body stay."""
    patch: dict[str, Any] = {key: body[key] or [] for key in ("components",) if key in body}
    if "content" in body:
        patch["content"] = body["content"] or ""
    if "embeds" in body:
        patch["embeds"] = [_embed(embed) for embed in body["embeds"] or []]
    return message | patch | {"edited_timestamp": timestamp(now)}


class Channels:
    """The messages of every channel, newest last; a channel keeps the last thousand."""

    def __init__(self, ids: Sequence) -> None:
        self._ids = ids
        self._messages: dict[str, OrderedDict[str, Json]] = {}
        self._nonces: dict[tuple[str, str], tuple[float, Json]] = {}

    def post(self, channel_id: str, author: User, body: Json, now: float) -> tuple[Json, bool]:
        """Check and keep a message; return it and whether it is new.

        With `enforce_nonce`, a nonce the author used in the past few minutes returns the first message instead.
        """
        check(body)
        nonce_key = (author.id, str(body["nonce"])) if body.get("nonce") and body.get("enforce_nonce") else None
        if nonce_key is not None:
            sent_at, first = self._nonces.get(nonce_key, (float("-inf"), {}))
            if now - sent_at < limits.NONCE_WINDOW_S:
                return first, False
        message = self.keep(create(body, self._ids.next(now), channel_id, author, now))
        if nonce_key is not None:
            self._nonces[nonce_key] = (now, message)
        return message, True

    def keep(self, message: Json) -> Json:
        """Keep a message, new or changed, and return it."""
        kept = self._messages.setdefault(message["channel_id"], OrderedDict())
        kept[message["id"]] = message
        while len(kept) > limits.MESSAGES_KEPT:
            kept.popitem(last=False)
        return message

    def get(self, channel_id: str, message_id: str) -> Json:
        """Return a message; raise DiscordError 10008 if there is none with this id."""
        kept = self._messages.get(channel_id)
        if kept is None or message_id not in kept:
            raise DiscordError(errors.UNKNOWN_MESSAGE)
        return kept[message_id]

    def edit(self, channel_id: str, message_id: str, author: User, body: Json, now: float) -> Json:
        """Change an own message; raise DiscordError for what Discord refuses."""
        message = self.get(channel_id, message_id)
        if message["author"]["id"] != author.id:
            raise DiscordError(errors.CANNOT_EDIT_OTHERS)
        check(body, may_be_empty=True)
        return self.keep(edited(message, body, now))

    def delete(self, channel_id: str, message_id: str) -> None:
        """Delete a message; raise DiscordError 10008 if there is none with this id."""
        self.get(channel_id, message_id)
        del self._messages[channel_id][message_id]

    def page(self, channel_id: str, limit: int, before: int | None = None, after: int | None = None) -> list[Json]:
        """Return at most `limit` messages, newest first, with ids between `after` and `before` (both exclusive)."""
        rows = [
            message
            for message in reversed(self._messages.get(channel_id, {}).values())
            if (before is None or int(message["id"]) < before) and (after is None or int(message["id"]) > after)
        ]
        return rows[-limit:] if after is not None else rows[:limit]

    def prune(self, now: float) -> None:
        """Forget nonces past their window."""
        self._nonces = {key: row for key, row in self._nonces.items() if now - row[0] < limits.NONCE_WINDOW_S}
