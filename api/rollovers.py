"""Roll-overs over HTTP: asked for here, carried out by the supervisor."""

from datetime import UTC, datetime

import structlog
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.rollover_schemas import NewRollover, Rollover, RolloverDryRun, RolloverPage
from api.schemas import PageQuery
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.keys import Role
from flotilla.domain.operations import Selector
from flotilla.domain.rollover_record import RolloverRequest
from flotilla.ids import new_id

PATH = "/api/v1/rollovers"
log = structlog.get_logger()


class RolloverRoutes:
    """The views of roll-overs."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._rollovers = services.rollovers
        self._nudges = services.nudges
        self._pace = services.pace

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("rollovers", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_rollovers, methods=["GET"])
        routes.add_url_rule("", view_func=self.begin_rollover, methods=["POST"])
        routes.add_url_rule("/<rollover_id>", view_func=self.get_rollover, methods=["GET"])
        tag_blueprint(routes, ["rollovers"])
        return routes

    @requires(Role.VIEWER)
    @document_response(RolloverPage)
    @validate_querystring(PageQuery)
    async def list_rollovers(self, query_args: PageQuery) -> Response:
        """List roll-overs, the newest first."""
        page = await self._rollovers.page(query_args.limit, query_args.cursor)
        return answer(RolloverPage([Rollover.of(view) for view in page.items], page.next_cursor))

    @requires(Role.ADMIN)
    @document_request(NewRollover)
    @document_response(RolloverDryRun, 200)
    @document_response(Rollover, 202)
    async def begin_rollover(self) -> Response:
        """Move all bots to a new fork server with the code as it is now, or with `dry_run` say how that would go."""
        new = await read_body(NewRollover)
        if new.dry_run:
            return answer(RolloverDryRun.of(await self._bots.select(Selector(everything=True)), self._pace))
        asked = RolloverRequest(new_id(), caller().name, datetime.now(UTC))
        view = await self._rollovers.request(asked)
        log.info("rollover.requested", rollover_id=asked.id, key_name=caller().name)
        await self._nudges.send()
        return answer(Rollover.of(view), 202, location=f"{PATH}/{asked.id}")

    @requires(Role.VIEWER)
    @document_response(Rollover)
    async def get_rollover(self, rollover_id: str) -> Response:
        """Show one roll-over and how far it is."""
        return answer(Rollover.of(await self._rollovers.get(rollover_id)))
