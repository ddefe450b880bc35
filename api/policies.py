"""What a bot is held to, over HTTP."""

import structlog
from msgspec import Struct
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint

from api.auth import caller, requires
from api.services import Services
from api.wire import answer, read_body
from flotilla.db.keys import Role
from flotilla.domain.bots import Bot
from flotilla.domain.policy import Knobs, Overrides, Policy, knobs_of

PATH = "/api/v1/bots/<bot_id>/policy"
log = structlog.get_logger()


class BotPolicy(Struct, frozen=True):
    """What a bot is held to. own: what it has in place of the fleet's; effective: what holds."""

    bot_id: str
    own: Overrides
    effective: Knobs
    fleet: Knobs

    @classmethod
    def of(cls, bot: Bot, fleet: Policy) -> "BotPolicy":
        """Return the answer for a bot."""
        return cls(bot.id, bot.overrides, knobs_of(bot.overrides.on(fleet)), knobs_of(fleet))


class PolicyRoutes:
    """The views of one bot's policy."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._fleet = services.policy
        self._nudges = services.nudges

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("policies", __name__)
        routes.add_url_rule(PATH, view_func=self.show_policy, methods=["GET"])
        routes.add_url_rule(PATH, view_func=self.change_policy, methods=["PATCH"])
        tag_blueprint(routes, ["bots"])
        return routes

    @requires(Role.VIEWER)
    @document_response(BotPolicy)
    async def show_policy(self, bot_id: str) -> Response:
        """Show what a bot is held to, and what of it is its own."""
        return answer(BotPolicy.of((await self._bots.get(bot_id)).bot, self._fleet))

    @requires(Role.OPERATOR)
    @document_request(Overrides)
    @document_response(BotPolicy)
    async def change_policy(self, bot_id: str) -> Response:
        """Change what is named; null goes back to the fleet's. It holds at once, without a restart."""
        changes = await read_body(dict[str, object])
        bot = await self._bots.override(bot_id, changes)
        log.info("bot.policy_changed", bot_id=bot_id, names=sorted(changes), key_name=caller().name)
        await self._nudges.send()
        return answer(BotPolicy.of(bot, self._fleet))
