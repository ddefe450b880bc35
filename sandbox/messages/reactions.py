"""Reactions: which emojis there are, and who reacted to a message with which. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.world.objects import Json
from sandbox.world.users import User

# Unicode (UTS 51) has no test by a formula. These are the blocks its emojis come from, and how they are put together.
_BASE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f004\U0001f0cf\U0001f170-\U0001f19a\U0001f201-\U0001f251"
    "\U0001f300-\U0001faff]"
)
_ONE = f"{_BASE}\ufe0f?[\U0001f3fb-\U0001f3ff]?(?:[\U000e0020-\U000e007e]+\U000e007f)?"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_KEYCAP = "[0-9#*]\ufe0f?\u20e3"
_EMOJI: Final = re.compile(f"{_FLAG}|{_KEYCAP}|{_ONE}(?:\u200d{_ONE})*")
NORMAL: Final = 0


def emoji_of(text: str) -> Json:
    """Return the emoji that a path or a body names; raise DiscordError 10014 for what is none.

    An emoji of a guild (`name:id`) is never known: no guild of the sandbox has emojis of its own.
    """
    if not _EMOJI.fullmatch(text):
        raise DiscordError(errors.UNKNOWN_EMOJI)
    return {"id": None, "name": text}


@dataclass(slots=True)
class Reaction:
    """An emoji, and who reacted with it, by id."""

    emoji: Json
    users: dict[str, User] = field(default_factory=dict)


class Reactions:
    """The reactions to all messages, in the order in which each emoji came first."""

    def __init__(self) -> None:
        self._by_message: dict[str, dict[str, Reaction]] = {}

    def add(self, message_id: str, emoji: Json, user: User) -> bool:
        """Add a user's reaction; return whether it is new. Raises DiscordError 30010 for one emoji too many."""
        reactions = self._by_message.get(message_id, {})
        reaction = reactions.get(emoji["name"])
        if reaction is None:
            if len(reactions) >= limits.REACTIONS_MAX:
                raise DiscordError(errors.TOO_MANY_REACTIONS)
            reaction = self._by_message.setdefault(message_id, {})[emoji["name"]] = Reaction(emoji)
        is_new = user.id not in reaction.users
        reaction.users[user.id] = user
        return is_new

    def holds(self, message_id: str, emoji: Json) -> bool:
        """Return whether anyone has reacted with the emoji."""
        return emoji["name"] in self._by_message.get(message_id, {})

    def remove(self, message_id: str, emoji: Json, user_id: str) -> bool:
        """Take a user's reaction away; return whether there was one. Raises DiscordError 10014 if nobody has it."""
        reaction = self._reaction(message_id, emoji)
        removed = reaction.users.pop(user_id, None) is not None
        if not reaction.users:
            self.remove_emoji(message_id, emoji)
        return removed

    def remove_emoji(self, message_id: str, emoji: Json) -> None:
        """Take all reactions with an emoji away; raise DiscordError 10014 if there is none."""
        self._reaction(message_id, emoji)
        del self._by_message[message_id][emoji["name"]]
        if not self._by_message[message_id]:
            del self._by_message[message_id]

    def _reaction(self, message_id: str, emoji: Json) -> Reaction:
        reaction = self._by_message.get(message_id, {}).get(emoji["name"])
        if reaction is None:
            raise DiscordError(errors.UNKNOWN_EMOJI)
        return reaction

    def clear(self, message_id: str) -> bool:
        """Take all reactions to a message away; return whether there were any."""
        return self._by_message.pop(message_id, None) is not None

    def of(self, message_ids: Collection[str]) -> dict[str, dict[str, Reaction]]:
        """Return the reactions to these messages, by message and emoji, for `restore`."""
        return {each: rows for each, rows in self._by_message.items() if each in message_ids}

    def restore(self, reactions: dict[str, dict[str, Reaction]]) -> None:
        """Take over the reactions that were there."""
        self._by_message = reactions

    def users(self, message_id: str, emoji: Json, limit: int, after: int) -> list[User]:
        """Return at most `limit` users that reacted with an emoji, by id, those after an id."""
        reaction = self._by_message.get(message_id, {}).get(emoji["name"])
        found = [] if reaction is None else [user for user in reaction.users.values() if int(user.id) > after]
        return sorted(found, key=lambda user: int(user.id))[:limit]

    def seen_by(self, message: Json, viewer_id: str) -> Json:
        """Return the message with its reactions as a user sees them; `me` says whether one is his own."""
        reactions = self._by_message.get(message["id"])
        if not reactions:
            return message
        return message | {"reactions": [_shown(each, viewer_id) for each in reactions.values()]}


def _shown(reaction: Reaction, viewer_id: str) -> Json:
    count = len(reaction.users)
    return {
        "emoji": reaction.emoji,
        "count": count,
        "count_details": {"burst": 0, "normal": count},
        "burst_colors": [],
        "me_burst": False,
        "me": viewer_id in reaction.users,
        "burst_me": False,
        "burst_count": 0,
    }
