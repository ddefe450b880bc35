"""Bots over HTTP."""

from datetime import UTC, datetime

import structlog
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.schemas import Bot, BotPage, BotQuery, BotUptime, NewBot, NewToken
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.bots import BotFilter
from flotilla.db.keys import Role
from flotilla.discord import application_id_of
from flotilla.domain import bots as domain
from flotilla.domain.bots import Desired, parse_name, parse_tags
from flotilla.ids import new_id

PATH = "/api/v1/bots"
log = structlog.get_logger()


class BotRoutes:
    """The views of one bot and of all of them."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._vault = services.vault
        self._nudges = services.nudges
        self._uptime = services.uptime
        self._policy = services.policy

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("bots", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_bots, methods=["GET"])
        routes.add_url_rule("", view_func=self.add_bot, methods=["POST"])
        routes.add_url_rule("/<bot_id>", view_func=self.get_bot, methods=["GET"])
        routes.add_url_rule("/<bot_id>", view_func=self.remove_bot, methods=["DELETE"])
        routes.add_url_rule("/<bot_id>/uptime", view_func=self.get_uptime, methods=["GET"])
        routes.add_url_rule("/<bot_id>/token", view_func=self.replace_token, methods=["PUT"])
        routes.add_url_rule("/<bot_id>/start", view_func=self.start_bot, methods=["POST"])
        routes.add_url_rule("/<bot_id>/stop", view_func=self.stop_bot, methods=["POST"])
        routes.add_url_rule("/<bot_id>/restart", view_func=self.restart_bot, methods=["POST"])
        routes.add_url_rule("/<bot_id>/sync-commands", view_func=self.sync_commands, methods=["POST"])
        tag_blueprint(routes, ["bots"])
        return routes

    @requires(Role.VIEWER)
    @document_response(BotPage)
    @validate_querystring(BotQuery)
    async def list_bots(self, query_args: BotQuery) -> Response:
        """List bots in the order of their names."""
        wanted = BotFilter(query_args.name, query_args.tag, query_args.state)
        page = await self._bots.page(wanted, query_args.limit, query_args.cursor)
        return answer(BotPage([Bot.of(view) for view in page.items], page.next_cursor))

    @requires(Role.ADMIN)
    @document_request(NewBot)
    @document_response(Bot, 201)
    async def add_bot(self) -> Response:
        """Add a bot. It starts at once unless `desired` is stopped."""
        new = await read_body(NewBot)
        token = new.token.strip()
        bot = domain.Bot(
            id=new_id(),
            name=parse_name(new.name),
            application_id=application_id_of(token),
            tags=parse_tags(new.tags),
            desired=new.desired,
            desired_epoch=0,
            created_at=datetime.now(UTC),
        )
        await self._bots.add(bot, self._vault.encrypt(token))
        await self._changed("bot.added", bot.id)
        return answer(Bot.of(await self._bots.get(bot.id)), 201, location=f"{PATH}/{bot.id}")

    @requires(Role.VIEWER)
    @document_response(Bot)
    async def get_bot(self, bot_id: str) -> Response:
        """Show one bot."""
        return await self._show(bot_id)

    @requires(Role.VIEWER)
    @document_response(BotUptime)
    async def get_uptime(self, bot_id: str) -> Response:
        """Show a bot's uptime over 24 hours, 7 and 30 days against its target, from its recorded transitions."""
        report = await self._uptime.report(bot_id, datetime.now(UTC))
        bot = (await self._bots.get(bot_id)).bot
        return answer(BotUptime.of(bot_id, report, bot.overrides.on(self._policy).uptime_target))

    @requires(Role.ADMIN)
    async def remove_bot(self, bot_id: str) -> Response:
        """Remove a bot: it is stopped, then forgotten with its token."""
        await self._bots.remove(bot_id, datetime.now(UTC))
        await self._changed("bot.removal_requested", bot_id)
        return Response(b"", 204)

    @requires(Role.ADMIN)
    @document_request(NewToken)
    @document_response(Bot, 202)
    async def replace_token(self, bot_id: str) -> Response:
        """Give a bot another token of the same application; all else that it has stays.

        One that is to run is restarted with it, in BACKOFF or FATAL too. The token before is forgotten.
        """
        token = (await read_body(NewToken)).token.strip()
        application_id = application_id_of(token)
        await self._bots.replace_token(bot_id, application_id, self._vault.encrypt(token), datetime.now(UTC))
        return await self._accepted("bot.token_replaced", bot_id)

    @requires(Role.OPERATOR)
    @document_response(Bot, 202)
    async def start_bot(self, bot_id: str) -> Response:
        """Start a bot. One in BACKOFF or FATAL is tried again at once."""
        await self._bots.want(bot_id, Desired.RUNNING)
        return await self._accepted("bot.start_requested", bot_id)

    @requires(Role.OPERATOR)
    @document_response(Bot, 202)
    async def stop_bot(self, bot_id: str) -> Response:
        """Stop a bot."""
        await self._bots.want(bot_id, Desired.STOPPED)
        return await self._accepted("bot.stop_requested", bot_id)

    @requires(Role.OPERATOR)
    @document_response(Bot, 202)
    async def restart_bot(self, bot_id: str) -> Response:
        """Restart a bot that is to run."""
        await self._bots.restart(bot_id)
        return await self._accepted("bot.restart_requested", bot_id)

    @requires(Role.OPERATOR)
    @document_response(Bot, 202)
    async def sync_commands(self, bot_id: str) -> Response:
        """Register a bot's commands with Discord, whatever was registered before: somebody changed them elsewhere.

        A happening tells how it went. One that is stopped registers them when it starts.
        """
        await self._bots.sync_commands(bot_id)
        return await self._accepted("bot.sync_requested", bot_id)

    async def _accepted(self, action: str, bot_id: str) -> Response:
        await self._changed(action, bot_id)
        return await self._show(bot_id, 202)

    async def _changed(self, action: str, bot_id: str) -> None:
        log.info(action, bot_id=bot_id, key_name=caller().name)
        await self._nudges.send()

    async def _show(self, bot_id: str, status: int = 200) -> Response:
        return answer(Bot.of(await self._bots.get(bot_id)), status)
