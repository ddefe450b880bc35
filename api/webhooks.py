"""Operators' webhooks over HTTP: made and changed here, delivered by the jobs program."""

import base64
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.schemas import PageQuery, Text
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.keys import Role
from flotilla.domain import webhooks as domain
from flotilla.domain.webhooks import TEST, DeliveryState, checked_kinds, checked_url
from flotilla.ids import new_id

PATH = "/api/v1/webhooks"
SECRET_BYTES: Final = 32
"""Of 24 to 64. Source: Standard Webhooks, Signature scheme."""

Kinds = Annotated[list[Text], Meta(max_length=64, description="Codes of happenings; empty: all.")]
Bots = Annotated[list[Text], Meta(max_length=1000, description="Ids of bots.")]
Tags = Annotated[list[Text], Meta(max_length=100, description="Tags of bots.")]
log = structlog.get_logger()


class NewWebhook(Struct, forbid_unknown_fields=True, frozen=True):
    """A webhook to add. With bots or tags it is told only of those, else of all and of the host."""

    url: Annotated[str, Meta(max_length=domain.MAX_URL)]
    kinds: Kinds = []
    bots: Bots = []
    tags: Tags = []


class WebhookChange(Struct, forbid_unknown_fields=True, frozen=True):
    """What to change. enabled true, or a new url: it is tried again at once."""

    url: Annotated[str, Meta(max_length=domain.MAX_URL)] | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    bots: Bots | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Webhook(Struct, frozen=True):
    """A webhook and how it fares. failures: in a row, since failing_since."""

    id: str
    url: str
    kinds: list[str]
    bots: list[str]
    tags: list[str]
    enabled: bool
    why_disabled: Annotated[str, Meta(description="Why Flotilla switched it off.")] | None
    created_at: datetime
    last_status: Annotated[int, Meta(description="HTTP status of the last attempt.")] | None
    last_error: str | None
    last_at: datetime | None
    failures: int
    failing_since: datetime | None
    dropped: Annotated[int, Meta(description="Happenings that found its queue full.")]

    @classmethod
    def of(cls, webhook: domain.Webhook) -> "Webhook":
        """Return the answer for a domain webhook."""
        values = {name: getattr(webhook, name) for name in cls.__struct_fields__}
        return cls(**values | {name: list(values[name]) for name in ("kinds", "bots", "tags")})


class MadeWebhook(Struct, frozen=True):
    """A webhook that was just made. secret: with which its messages are signed; it is never shown again."""

    webhook: Webhook
    secret: str

    def __repr__(self) -> str:
        """Leave the secret out, so that no log of this object can hold it."""
        return f"MadeWebhook(webhook={self.webhook!r}, secret=…)"


class WebhookPage(Struct, frozen=True):
    """Webhooks, the oldest first."""

    items: list[Webhook]
    next_cursor: str | None


class Delivery(Struct, frozen=True):
    """A message to a webhook. id: the same in all attempts. dropped: it was switched off, or failed for too long."""

    id: str
    kind: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: Annotated[datetime, Meta(description="When it is tried next.")] | None
    last_status: int | None
    last_error: str | None
    finished_at: datetime | None

    @classmethod
    def of(cls, delivery: domain.Delivery) -> "Delivery":
        """Return the answer for a domain delivery."""
        values = {name: getattr(delivery, name) for name in cls.__struct_fields__}
        return cls(**values | {"next_at": delivery.next_at if delivery.state is DeliveryState.PENDING else None})


class DeliveryPage(Struct, frozen=True):
    """Deliveries of a webhook, the newest first."""

    items: list[Delivery]
    next_cursor: str | None


class WebhookRoutes:
    """The views of webhooks."""

    def __init__(self, services: Services) -> None:
        self._webhooks = services.webhooks
        self._vault = services.vault
        self._allow_private = services.serving.webhooks_allow_private

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("webhooks", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_webhooks, methods=["GET"])
        routes.add_url_rule("", view_func=self.add_webhook, methods=["POST"])
        routes.add_url_rule("/<webhook_id>", view_func=self.get_webhook, methods=["GET"])
        routes.add_url_rule("/<webhook_id>", view_func=self.change_webhook, methods=["PATCH"])
        routes.add_url_rule("/<webhook_id>", view_func=self.remove_webhook, methods=["DELETE"])
        routes.add_url_rule("/<webhook_id>/test", view_func=self.test_webhook, methods=["POST"])
        routes.add_url_rule("/<webhook_id>/deliveries", view_func=self.list_deliveries, methods=["GET"])
        tag_blueprint(routes, ["webhooks"])
        return routes

    @requires(Role.OPERATOR)
    @document_response(WebhookPage)
    @validate_querystring(PageQuery)
    async def list_webhooks(self, query_args: PageQuery) -> Response:
        """List webhooks, the oldest first."""
        page = await self._webhooks.page(query_args.limit, query_args.cursor)
        return answer(WebhookPage([Webhook.of(webhook) for webhook in page.items], page.next_cursor))

    @requires(Role.ADMIN)
    @document_request(NewWebhook)
    @document_response(MadeWebhook, 201)
    async def add_webhook(self) -> Response:
        """Add a webhook. The secret in the answer is shown this once."""
        new = await read_body(NewWebhook)
        webhook = domain.Webhook(
            new_id(),
            checked_url(new.url, allow_private=self._allow_private),
            datetime.now(UTC),
            checked_kinds(new.kinds),
            tuple(dict.fromkeys(new.bots)),
            tuple(dict.fromkeys(new.tags)),
        )
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
        await self._webhooks.add(webhook, self._vault.encrypt(secret))
        log.info("webhook.added", webhook_id=webhook.id, key_name=caller().name)
        return answer(MadeWebhook(Webhook.of(webhook), secret), 201, location=f"{PATH}/{webhook.id}")

    @requires(Role.OPERATOR)
    @document_response(Webhook)
    async def get_webhook(self, webhook_id: str) -> Response:
        """Show a webhook and how it fares."""
        return answer(Webhook.of(await self._webhooks.get(webhook_id)))

    @requires(Role.ADMIN)
    @document_request(WebhookChange)
    @document_response(Webhook)
    async def change_webhook(self, webhook_id: str) -> Response:
        """Change a webhook; what waits for it goes where it leads now."""
        change = await read_body(WebhookChange)
        values: dict[str, Any] = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET
        }
        if "url" in values:
            checked_url(values["url"], allow_private=self._allow_private)
        if "kinds" in values:
            values["kinds"] = checked_kinds(values["kinds"])
        webhook = await self._webhooks.change(webhook_id, values)
        log.info("webhook.changed", webhook_id=webhook_id, changed=sorted(values), key_name=caller().name)
        return answer(Webhook.of(webhook))

    @requires(Role.ADMIN)
    async def remove_webhook(self, webhook_id: str) -> Response:
        """Remove a webhook with all that waits for it."""
        await self._webhooks.remove(webhook_id)
        log.info("webhook.removed", webhook_id=webhook_id, key_name=caller().name)
        return Response(b"", 204)

    @requires(Role.OPERATOR)
    @document_response(Delivery, 202)
    async def test_webhook(self, webhook_id: str) -> Response:
        """Have a message of the type `test` delivered, as any other is."""
        now = datetime.now(UTC)
        body = {"type": TEST, "timestamp": now.isoformat(), "data": {"requested_by": caller().name}}
        text = msgspec.json.encode(body).decode()
        delivery = domain.Delivery(new_id(now), webhook_id, TEST, text, now, next_at=now)
        await self._webhooks.put(delivery)
        return answer(Delivery.of(delivery), 202)

    @requires(Role.OPERATOR)
    @document_response(DeliveryPage)
    @validate_querystring(PageQuery)
    async def list_deliveries(self, webhook_id: str, query_args: PageQuery) -> Response:
        """List the deliveries of a webhook, the newest first. What has ended is kept for 7 days."""
        page = await self._webhooks.deliveries(webhook_id, query_args.limit, query_args.cursor)
        return answer(DeliveryPage([Delivery.of(row) for row in page.items], page.next_cursor))
