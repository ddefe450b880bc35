"""What happened to bots and hosts, over HTTP."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from quart import Blueprint, Response
from quart_schema import document_response, tag_blueprint, validate_querystring

from api.auth import requires
from api.schemas import Cursor, Limit, Text
from api.services import Services
from api.wire import answer, aware
from flotilla.db.happenings import HappeningFilter, HappeningView
from flotilla.db.keys import Role
from flotilla.domain.happenings import KINDS, Kind, Severity, Source

PATH = "/api/v1/happenings"
_UNKNOWN = "Another release of Flotilla noted this."


class HappeningQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which happenings, and which page of them. since, until: RFC 3339, the second exclusive."""

    limit: Limit = 50
    cursor: Cursor | None = None
    bot: Annotated[Text, Meta(description="Name or id of a bot.")] | None = None
    code: Text | None = None
    severity: Severity | None = None
    source: Annotated[Source, Meta(description="discord: what Discord did to the bot.")] | None = None
    since: datetime | None = None
    until: datetime | None = None


class Happening(Struct, frozen=True):
    """Something that happened. bot_id, bot_name: null for what happened to the host."""

    id: str
    at: datetime
    bot_id: str | None
    bot_name: str | None
    code: str
    source: Source
    severity: Severity
    title: str
    remedy: str
    detail: Annotated[dict[str, Any], Meta(description="Figures and names; which ones depends on the code.")]

    @classmethod
    def of(cls, view: HappeningView) -> "Happening":
        """Return the answer for a view."""
        row = view.happening
        kind = KINDS.get(row.code) or Kind(row.code, Severity.INFO, row.code, _UNKNOWN)
        what = kind.code, kind.source, kind.severity, kind.title, kind.remedy
        return cls(row.id, row.at, row.bot_id, view.bot_name, *what, row.detail)


class HappeningPage(Struct, frozen=True):
    """Happenings, the newest first. The last 200 of each bot and source are kept."""

    items: list[Happening]
    next_cursor: str | None


class HappeningRoutes:
    """The view of all of them."""

    def __init__(self, services: Services) -> None:
        self._happenings = services.happenings

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("happenings", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_happenings, methods=["GET"])
        tag_blueprint(routes, ["happenings"])
        return routes

    @requires(Role.VIEWER)
    @document_response(HappeningPage)
    @validate_querystring(HappeningQuery)
    async def list_happenings(self, query_args: HappeningQuery) -> Response:
        """List what happened, the newest first."""
        wanted = HappeningFilter(
            query_args.bot,
            query_args.code,
            query_args.severity,
            query_args.source,
            aware(query_args.since),
            aware(query_args.until),
        )
        page = await self._happenings.page(wanted, query_args.limit, query_args.cursor)
        return answer(HappeningPage([Happening.of(view) for view in page.items], page.next_cursor))
