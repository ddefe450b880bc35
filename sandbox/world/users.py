"""Users, bots and people. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A user, bot or person."""

    id: str
    username: str
    bot: bool = False

    def as_json(self) -> dict[str, object]:
        """Return Discord's user object."""
        return {
            "id": self.id,
            "username": self.username,
            "avatar": None,
            "discriminator": "0000" if self.bot else "0",
            "public_flags": 0,
            "flags": 0,
            "bot": self.bot,
            "banner": None,
            "accent_color": None,
            "global_name": None if self.bot else self.username,
            "avatar_decoration_data": None,
            "collectibles": None,
            "primary_guild": None,
        }

    def as_own_json(self) -> dict[str, object]:
        """Return the user object Discord shows to the user itself."""
        return self.as_json() | {
            "mfa_enabled": True,
            "locale": "en-US",
            "premium_type": 0,
            "email": None,
            "verified": True,
        }
