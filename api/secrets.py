"""Secrets of bots' own over HTTP: set and taken away, never shown."""

from datetime import UTC, datetime
from typing import Annotated

import structlog
from msgspec import Meta, Struct
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint

from api.auth import caller, requires
from api.services import Services
from api.wire import answer, if_match, read_body, tagged
from flotilla.db.keys import Role
from flotilla.domain import bot_secrets as domain
from flotilla.domain.bot_secrets import MAX_VALUE_BYTES, checked_name, checked_value

PATH = "/api/v1/bots/<bot_id>/secrets"
log = structlog.get_logger()


class NewSecret(Struct, forbid_unknown_fields=True, frozen=True):
    """The value of a secret. It is encrypted on arrival and never answered."""

    value: Annotated[
        str, Meta(description=f"1 to {MAX_VALUE_BYTES} bytes of UTF-8, without NUL.", max_length=MAX_VALUE_BYTES)
    ]

    def __repr__(self) -> str:
        """Leave the value out, so that no log of this object can hold it."""
        return "NewSecret(value=…)"


class SecretView(Struct, frozen=True):
    """What is shown of a secret. changed_by: name of the API key that set it."""

    name: str
    changed_at: datetime
    changed_by: str


class SecretsView(Struct, frozen=True):
    """A bot's secrets in the order of their names. version: grows with every change; the ETag."""

    bot_id: str
    version: int
    items: list[SecretView]

    @classmethod
    def of(cls, bot_id: str, found: domain.BotSecrets) -> "SecretsView":
        """Return the answer for these secrets."""
        shown = [SecretView(row.name, row.changed_at, row.changed_by) for row in found.items]
        return cls(bot_id, found.version, shown)


class SecretRoutes:
    """The views of secrets. An ETag is their version; If-Match makes a change of that version alone."""

    def __init__(self, services: Services) -> None:
        self._secrets = services.secrets
        self._vault = services.vault
        self._nudges = services.nudges

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("secrets", __name__)
        routes.add_url_rule(PATH, view_func=self.list_secrets, methods=["GET"])
        routes.add_url_rule(f"{PATH}/<name>", view_func=self.put_secret, methods=["PUT"])
        routes.add_url_rule(f"{PATH}/<name>", view_func=self.remove_secret, methods=["DELETE"])
        tag_blueprint(routes, ["secrets"])
        return routes

    @requires(Role.ADMIN)
    @document_response(SecretsView)
    async def list_secrets(self, bot_id: str) -> Response:
        """List a bot's secrets: their names, and who changed them when. Never their values."""
        return _shown(bot_id, await self._secrets.of(bot_id))

    @requires(Role.ADMIN)
    @document_request(NewSecret)
    @document_response(SecretsView)
    async def put_secret(self, bot_id: str, name: str) -> Response:
        """Set a secret: an environment variable that this bot's worker alone has from its next start on.

        A worker that runs keeps what it has; restart it (warm, the session is kept) for it to have this.
        """
        name = checked_name(name)
        value = checked_value((await read_body(NewSecret)).value)
        now, by = datetime.now(UTC), caller().name
        found = await self._secrets.put(bot_id, name, self._vault.encrypt(value), by, now, expected=if_match())
        await self._changed("bot.secret_set", bot_id, name, found)
        return _shown(bot_id, found)

    @requires(Role.ADMIN)
    async def remove_secret(self, bot_id: str, name: str) -> Response:
        """Forget a secret. A worker that runs has it until its next start."""
        now, by = datetime.now(UTC), caller().name
        found = await self._secrets.remove(bot_id, checked_name(name), by, now, expected=if_match())
        await self._changed("bot.secret_removed", bot_id, name, found)
        return tagged(Response(b"", 204), found.version)

    async def _changed(self, action: str, bot_id: str, name: str, found: domain.BotSecrets) -> None:
        log.info(action, bot_id=bot_id, variable=name, version=found.version, key_name=caller().name)
        await self._nudges.send()


def _shown(bot_id: str, found: domain.BotSecrets) -> Response:
    return tagged(answer(SecretsView.of(bot_id, found)), found.version)
