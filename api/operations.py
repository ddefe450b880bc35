"""Bulk operations over HTTP: asked for here, worked on by the job program."""

from datetime import UTC, datetime

import structlog
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.schemas import DryRun, NewOperation, Operation, OperationItem, OperationItemPage, OperationPage, PageQuery
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.keys import Role
from flotilla.domain import operations as domain
from flotilla.domain.bots import BotView, Desired
from flotilla.domain.operations import Item, OperationState
from flotilla.domain.sessions import Ledger, Purse, cold_cost, purse
from flotilla.errors import FixInputError
from flotilla.ids import new_id

PATH = "/api/v1/operations"
SHOWN_BOTS = 50
log = structlog.get_logger()


class OperationRoutes:
    """The views of operations and their items."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._operations = services.operations
        self._queue = services.queue
        self._sessions = services.sessions
        self._policy = services.policy

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("operations", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_operations, methods=["GET"])
        routes.add_url_rule("", view_func=self.begin_operation, methods=["POST"])
        routes.add_url_rule("/<operation_id>", view_func=self.get_operation, methods=["GET"])
        routes.add_url_rule("/<operation_id>/items", view_func=self.list_items, methods=["GET"])
        routes.add_url_rule("/<operation_id>/cancel", view_func=self.cancel_operation, methods=["POST"])
        tag_blueprint(routes, ["operations"])
        return routes

    @requires(Role.VIEWER)
    @document_response(OperationPage)
    @validate_querystring(PageQuery)
    async def list_operations(self, query_args: PageQuery) -> Response:
        """List operations, the newest first."""
        page = await self._operations.page(query_args.limit, query_args.cursor)
        return answer(OperationPage([Operation.of(row) for row in page.items], page.next_cursor))

    @requires(Role.OPERATOR)
    @document_request(NewOperation)
    @document_response(DryRun, 200)
    @document_response(Operation, 202)
    async def begin_operation(self) -> Response:
        """Begin a bulk operation, or with `dry_run` say what it would do."""
        new = await read_body(NewOperation)
        selector, strategy = new.selector.to_domain(), new.strategy.to_domain()
        chosen = await self._bots.select(selector)
        if not chosen:
            raise FixInputError("No bot matches this selector; there is nothing to do.", code="selection_empty")
        if new.dry_run:
            return answer(await self._dry_run(chosen))
        operation = domain.Operation(
            id=new_id(),
            kind=new.kind,
            selector=selector,
            strategy=strategy,
            state=OperationState.PENDING,
            requested_by=caller().name,
            created_at=datetime.now(UTC),
        )
        await self._operations.add(operation, [Item(view.bot.id, view.bot.name) for view in chosen])
        log.info("operation.requested", operation_id=operation.id, bots=len(chosen), key_name=caller().name)
        await self._queue.advance(operation.id)
        stored = await self._operations.get(operation.id)
        return answer(Operation.of(stored), 202, location=f"{PATH}/{operation.id}")

    async def _dry_run(self, chosen: list[BotView]) -> DryRun:
        now = datetime.now(UTC)
        running = [view for view in chosen if view.bot.desired is Desired.RUNNING]
        ledgers = await self._sessions.ledgers(now, [view.bot.application_id for view in running])
        names: dict[Purse, list[str]] = {kind: [] for kind in Purse}
        starts = 0
        for view in running:
            ledger = ledgers.get(view.bot.application_id, Ledger())
            starts += cold_cost(ledger)
            reserve = view.bot.overrides.on(self._policy).session_reserve
            names[purse(ledger, now, reserve=reserve)].append(view.bot.name)
        return DryRun(
            total=len(chosen),
            session_starts=starts,
            skipped=len(chosen) - len(running),
            bots=[view.bot.name for view in chosen[:SHOWN_BOTS]],
            from_reserve=names[Purse.RESERVE][:SHOWN_BOTS],
            refused=names[Purse.EMPTY][:SHOWN_BOTS],
        )

    @requires(Role.VIEWER)
    @document_response(Operation)
    async def get_operation(self, operation_id: str) -> Response:
        """Show one operation and how far it has come."""
        return answer(Operation.of(await self._operations.get(operation_id)))

    @requires(Role.VIEWER)
    @document_response(OperationItemPage)
    @validate_querystring(PageQuery)
    async def list_items(self, operation_id: str, query_args: PageQuery) -> Response:
        """List an operation's items in the order of their bots' names."""
        page = await self._operations.items(operation_id, query_args.limit, query_args.cursor)
        return answer(OperationItemPage([OperationItem.of(item) for item in page.items], page.next_cursor))

    @requires(Role.OPERATOR)
    @document_response(Operation)
    async def cancel_operation(self, operation_id: str) -> Response:
        """Cancel: begin no more bots; those in motion finish by themselves."""
        operation = await self._operations.cancel(operation_id, datetime.now(UTC))
        log.info("operation.cancelled", operation_id=operation.id, key_name=caller().name)
        return answer(Operation.of(operation))
