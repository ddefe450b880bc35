"""Users, bots and people. Pure."""

from dataclasses import dataclass
from functools import lru_cache

_SHARED = 50_000  # users whose object is made once


@dataclass(frozen=True, slots=True)
class User:
    """A user, bot or person."""

    id: str
    username: str
    bot: bool = False

    def as_json(self) -> dict[str, object]:
        """Return Discord's user object. All messages of a user share it: never change it."""
        return _user_json(self)

    def as_own_json(self) -> dict[str, object]:
        """Return the user object Discord shows to the user itself."""
        return self.as_json() | {
            "mfa_enabled": True,
            "locale": "en-US",
            "premium_type": 0,
            "email": None,
            "verified": True,
        }


@lru_cache(maxsize=_SHARED)
def _user_json(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "username": user.username,
        "avatar": None,
        "discriminator": "0000" if user.bot else "0",
        "public_flags": 0,
        "flags": 0,
        "bot": user.bot,
        "banner": None,
        "accent_color": None,
        "global_name": None if user.bot else user.username,
        "avatar_decoration_data": None,
        "collectibles": None,
        "primary_guild": None,
    }
