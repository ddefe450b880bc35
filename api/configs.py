"""How bots and their guilds are to be, over HTTP."""

import msgspec
import structlog
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag_blueprint, validate_querystring

from api.auth import caller, requires
from api.config_schemas import (
    BotConfigView,
    ChangeQuery,
    ConfigChanged,
    ConfigHistory,
    GuildConfigView,
    Rollback,
)
from api.services import Services
from api.wire import answer, if_match, read_body, tagged
from flotilla.db.keys import Role
from flotilla.domain.config import BotConfig, GuildConfig, Snowflake
from flotilla.errors import FixInputError

BOT_PATH = "/api/v1/bots/<bot_id>/config"
GUILD_PATH = "/api/v1/bots/<bot_id>/guilds/<guild_id>/config"
log = structlog.get_logger()


class ConfigRoutes:
    """The views of configs. An ETag is a config's version; If-Match makes a change of that version alone."""

    def __init__(self, services: Services) -> None:
        self._bots = services.bots
        self._configs = services.configs
        self._nudges = services.nudges

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("configs", __name__)
        routes.add_url_rule(BOT_PATH, view_func=self.show_config, methods=["GET"])
        routes.add_url_rule(BOT_PATH, view_func=self.change_config, methods=["PATCH"])
        routes.add_url_rule(f"{BOT_PATH}/history", view_func=self.show_history, methods=["GET"])
        routes.add_url_rule(f"{BOT_PATH}/rollback", view_func=self.roll_back, methods=["POST"])
        routes.add_url_rule(GUILD_PATH, view_func=self.show_guild_config, methods=["GET"])
        routes.add_url_rule(GUILD_PATH, view_func=self.change_guild_config, methods=["PATCH"])
        tag_blueprint(routes, ["configs"])
        return routes

    @requires(Role.VIEWER)
    @document_response(BotConfigView)
    async def show_config(self, bot_id: str) -> Response:
        """Show how a bot is to be, which version its worker runs, and whether it could not be run with."""
        shown = BotConfigView.of(await self._bots.get(bot_id))
        return tagged(answer(shown), shown.version)

    @requires(Role.OPERATOR)
    @document_request(BotConfig)
    @document_response(ConfigChanged)
    @validate_querystring(ChangeQuery)
    async def change_config(self, bot_id: str, query_args: ChangeQuery) -> Response:
        """Change what is named (a merge patch, RFC 7396); null goes back to the default."""
        changes = await read_body(dict[str, object])
        dry_run = query_args.dry_run
        changed = await self._configs.change(bot_id, changes, caller().name, expected=if_match(), dry_run=dry_run)
        return await self._changed(ConfigChanged.of(bot_id, changed, dry_run=dry_run), changed.version)

    @requires(Role.VIEWER)
    @document_response(ConfigHistory)
    async def show_history(self, bot_id: str) -> Response:
        """List the last 20 versions of a bot's config, newest first."""
        return answer(ConfigHistory.of(await self._configs.history(bot_id)))

    @requires(Role.OPERATOR)
    @document_request(Rollback)
    @document_response(ConfigChanged)
    @validate_querystring(ChangeQuery)
    async def roll_back(self, bot_id: str, query_args: ChangeQuery) -> Response:
        """Set an earlier version's config anew, as a new version."""
        wanted, dry_run = await read_body(Rollback), query_args.dry_run
        changed = await self._configs.roll_back(
            bot_id, wanted.version, caller().name, expected=if_match(), dry_run=dry_run
        )
        return await self._changed(ConfigChanged.of(bot_id, changed, dry_run=dry_run), changed.version)

    @requires(Role.VIEWER)
    @document_response(GuildConfigView)
    async def show_guild_config(self, bot_id: str, guild_id: str) -> Response:
        """Show what is set for a bot in one guild."""
        found = await self._configs.guild(bot_id, _guild_id(guild_id))
        return tagged(answer(GuildConfigView.of(bot_id, found)), found.version)

    @requires(Role.OPERATOR)
    @document_request(GuildConfig)
    @document_response(GuildConfigView)
    async def change_guild_config(self, bot_id: str, guild_id: str) -> Response:
        """Change what is named (a merge patch, RFC 7396); it holds at once."""
        changes = await read_body(dict[str, object])
        found = await self._configs.change_guild(bot_id, _guild_id(guild_id), changes, expected=if_match())
        log.info("guild.config_changed", bot_id=bot_id, guild_id=guild_id, key_name=caller().name)
        await self._nudges.send()
        return tagged(answer(GuildConfigView.of(bot_id, found)), found.version)

    async def _changed(self, shown: ConfigChanged, version: int) -> Response:
        if not shown.dry_run:
            fields = [change.field for change in shown.changes]
            log.info("bot.config_changed", bot_id=shown.bot_id, version=version, fields=fields, key_name=caller().name)
            await self._nudges.send()
        return tagged(answer(shown), version)


def _guild_id(given: str) -> str:
    try:
        return msgspec.convert(given, Snowflake)
    except msgspec.ValidationError:
        raise FixInputError("A guild's id has 15 to 20 digits.", code="guild_invalid") from None
