"""Webhooks of channels. An interaction's webhook is its application's and lives with the interaction. Pure."""

from dataclasses import dataclass

from sandbox import errors, limits
from sandbox.errors import DiscordError
from sandbox.world.objects import Json
from sandbox.world.users import User

INCOMING = 1


@dataclass(slots=True)
class Webhook:
    """An incoming webhook; whoever has its token may post through it."""

    id: str
    token: str
    channel_id: str
    guild_id: str | None
    name: str
    made_by: User
    application_id: str | None

    def as_json(self, base_url: str, *, with_user: bool = True) -> Json:
        """Return the webhook object; a request that proves itself by the token alone does not see who made it."""
        shown: Json = {
            "id": self.id,
            "type": INCOMING,
            "name": self.name,
            "avatar": None,
            "channel_id": self.channel_id,
            "guild_id": self.guild_id,
            "application_id": self.application_id,
            "token": self.token,
            "url": f"{base_url}/api/webhooks/{self.id}/{self.token}",
        }
        return shown | {"user": self.made_by.as_json()} if with_user else shown

    def author(self, body: Json) -> Json:
        """Return what a message of this webhook shows as its author; `username` and `avatar_url` may be overridden."""
        return User(self.id, body.get("username") or self.name, bot=True).as_json()


class Webhooks:
    """All webhooks, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Webhook] = {}

    def add(self, webhook: Webhook) -> Webhook:
        """Keep a new webhook; raise DiscordError 30007 if its channel has 15."""
        if len(self.of_channel(webhook.channel_id)) >= limits.WEBHOOKS_MAX:
            raise DiscordError(errors.TOO_MANY_WEBHOOKS)
        self._by_id[webhook.id] = webhook
        return webhook

    def all(self) -> list[Webhook]:
        """Return every webhook, the oldest first."""
        return list(self._by_id.values())

    def find(self, webhook_id: str) -> Webhook | None:
        """Return a webhook, or None."""
        return self._by_id.get(webhook_id)

    def get(self, webhook_id: str, token: str | None = None) -> Webhook:
        """Return a webhook; raise DiscordError 10015 if there is none, 50027 if a token is given and is wrong."""
        webhook = self._by_id.get(webhook_id)
        if webhook is None:
            raise DiscordError(errors.UNKNOWN_WEBHOOK)
        if token is not None and token != webhook.token:
            raise DiscordError(errors.INVALID_WEBHOOK_TOKEN)
        return webhook

    def of_channel(self, channel_id: str) -> list[Webhook]:
        """Return the webhooks of a channel."""
        return [webhook for webhook in self._by_id.values() if webhook.channel_id == channel_id]

    def of_guild(self, guild_id: str) -> list[Webhook]:
        """Return the webhooks of a guild."""
        return [webhook for webhook in self._by_id.values() if webhook.guild_id == guild_id]

    def delete(self, webhook: Webhook) -> None:
        """Delete a webhook."""
        del self._by_id[webhook.id]

    def drop_channel(self, channel_id: str) -> None:
        """Delete the webhooks of a channel that is no more."""
        for webhook in self.of_channel(channel_id):
            self.delete(webhook)
