"""What happened to a bot, over HTTP: its exits, its stacks, and all of it at a glance."""

from datetime import UTC, datetime, timedelta

import structlog
from quart import Blueprint, Response, request
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.diagnosis_schemas import (
    BotExit,
    BotExitPage,
    BotHeap,
    BotStacks,
    HeapRequest,
    Inspection,
    NewHeapRequest,
    StacksRequest,
)
from api.schemas import PageQuery
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.happenings import HappeningFilter
from flotilla.db.keys import Role
from flotilla.domain.happenings import Source

PATH = "/api/v1/bots/<bot_id>"
DAY = timedelta(hours=24)
SHOWN_HAPPENINGS = 5
log = structlog.get_logger()


class DiagnosisRoutes:
    """The views of one bot's past, and of where its code is now."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._diagnosis = services.diagnosis
        self._happenings = services.happenings
        self._policy = services.policy
        self._nudges = services.nudges

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("diagnosis", __name__, url_prefix=PATH)
        routes.add_url_rule("/exits", view_func=self.list_exits, methods=["GET"])
        routes.add_url_rule("/inspection", view_func=self.inspect_bot, methods=["GET"])
        routes.add_url_rule("/stacks", view_func=self.ask_stacks, methods=["POST"])
        routes.add_url_rule("/stacks", view_func=self.show_stacks, methods=["GET"])
        routes.add_url_rule("/heap", view_func=self.ask_heap, methods=["POST"])
        routes.add_url_rule("/heap", view_func=self.show_heap, methods=["GET"])
        tag_blueprint(routes, ["bots"])
        return routes

    @requires(Role.VIEWER)
    @document_response(BotExitPage)
    @validate_querystring(PageQuery)
    async def list_exits(self, bot_id: str, query_args: PageQuery) -> Response:
        """List the last exits of a bot, the newest first."""
        page = await self._diagnosis.exits(bot_id, query_args.limit, query_args.cursor)
        return answer(BotExitPage([BotExit.of(row) for row in page.items], page.next_cursor))

    @requires(Role.VIEWER)
    @document_response(Inspection)
    async def inspect_bot(self, bot_id: str) -> Response:
        """Show a bot with its probes, limits, restarts of the last 24 hours, last exits and what happened to it."""
        view = await self._bots.get(bot_id)
        record = await self._diagnosis.record(bot_id, datetime.now(UTC) - DAY)
        wanted = [HappeningFilter(bot_id, source=source) for source in Source]
        pages = [await self._happenings.page(each, SHOWN_HAPPENINGS, None) for each in wanted]
        recent = sorted((view for page in pages for view in page.items), key=lambda v: v.happening.id, reverse=True)
        policy = view.bot.overrides.on(self._policy)
        return answer(Inspection.of(view, record, policy, recent))

    @requires(Role.OPERATOR)
    @document_response(StacksRequest, 202)
    async def ask_stacks(self, bot_id: str) -> Response:
        """Ask where the bot's threads and tasks are now. They are written to its log, and answered by GET."""
        epoch = await self._diagnosis.ask_stacks(bot_id)
        log.info("bot.stacks_requested", bot_id=bot_id, key_name=caller().name)
        await self._nudges.send()
        return answer(StacksRequest(bot_id, epoch), 202)

    @requires(Role.VIEWER)
    @document_response(BotStacks)
    async def show_stacks(self, bot_id: str) -> Response:
        """Show the stacks that were written last."""
        return answer(BotStacks.of(bot_id, await self._diagnosis.stacks(bot_id)))

    @requires(Role.OPERATOR)
    @document_request(NewHeapRequest)
    @document_response(HeapRequest, 202)
    async def ask_heap(self, bot_id: str) -> Response:
        """Ask what the bot's memory is made of. It is answered by GET. The body may be left out."""
        asked = await read_body(NewHeapRequest) if await request.get_data() else NewHeapRequest()
        epoch = await self._diagnosis.ask_heap(bot_id, asked.trace_s)
        log.info("bot.heap_requested", bot_id=bot_id, trace_s=asked.trace_s, key_name=caller().name)
        await self._nudges.send()
        return answer(HeapRequest(bot_id, epoch), 202)

    @requires(Role.VIEWER)
    @document_response(BotHeap)
    async def show_heap(self, bot_id: str) -> Response:
        """Show what the bot's memory was made of when that was asked last."""
        return answer(BotHeap.of(bot_id, await self._diagnosis.heap(bot_id)))
