"""What users did with the bots, over HTTP."""

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from quart import Blueprint, Response
from quart_schema import document_response, tag_blueprint, validate_querystring

from api.auth import requires
from api.schemas import Cursor, Limit, Text
from api.services import Services
from api.wire import answer, aware
from flotilla.db.command_logs import CommandLogFilter, CommandLogView
from flotilla.db.keys import Role
from flotilla.domain.command_logs import Kind, Outcome

PATH = "/api/v1/command-logs"
Snowflake = Annotated[int, Meta(ge=0, le=2**63 - 1)]
SnowflakeText = Annotated[str, Meta(description="A Discord id. Text: JavaScript's numbers cannot hold it.")]


class CommandLogQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which logs, and which page of them. since, until: RFC 3339, the second exclusive."""

    limit: Limit = 50
    cursor: Cursor | None = None
    bot: Annotated[Text, Meta(description="Name or id of a bot.")] | None = None
    kind: Kind | None = None
    name: Annotated[Text, Meta(description="A command with its subcommands, or a custom id.")] | None = None
    outcome: Outcome | None = None
    user: Snowflake | None = None
    guild: Snowflake | None = None
    reference: Annotated[Text, Meta(description="What a user was shown of an error.")] | None = None
    since: datetime | None = None
    until: datetime | None = None


class CommandLog(Struct, frozen=True):
    """One command, component, modal or autocomplete that a user used.

    first_ms: to the first response that Discord accepted. total_ms: until the bot's code had ended. deferred: Flotilla
    answered first, because the bot took too long. error: class of the exception; reference: what the user was shown.
    """

    id: str
    at: datetime
    bot_id: str
    bot_name: str
    kind: Kind
    name: str
    outcome: Outcome
    interaction_id: SnowflakeText
    user_id: SnowflakeText
    guild_id: SnowflakeText | None
    channel_id: SnowflakeText | None
    options: Annotated[
        dict[str, Any], Meta(description="As the user gave them: long ones cut, sensitive ones redacted.")
    ]
    first_ms: float | None
    total_ms: float | None
    deferred: bool
    error: str | None
    reference: str | None

    @classmethod
    def of(cls, view: CommandLogView) -> "CommandLog":
        """Return the answer for a view."""
        log = view.log
        return cls(
            log.id,
            datetime.fromtimestamp(log.at, UTC),
            view.bot_id,
            view.bot_name,
            log.kind,
            log.name,
            log.outcome,
            str(log.interaction_id),
            str(log.user_id),
            None if log.guild_id is None else str(log.guild_id),
            None if log.channel_id is None else str(log.channel_id),
            log.options,
            log.first_ms,
            log.total_ms,
            log.deferred,
            log.error,
            log.reference,
        )


class CommandLogPage(Struct, frozen=True):
    """Logs, the newest first."""

    items: list[CommandLog]
    next_cursor: str | None


class CommandLogRoutes:
    """The view of all of them."""

    def __init__(self, services: Services) -> None:
        self._logs = services.command_logs

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        routes = Blueprint("command_logs", __name__, url_prefix=PATH)
        routes.add_url_rule("", view_func=self.list_command_logs, methods=["GET"])
        tag_blueprint(routes, ["command logs"])
        return routes

    @requires(Role.VIEWER)
    @document_response(CommandLogPage)
    @validate_querystring(CommandLogQuery)
    async def list_command_logs(self, query_args: CommandLogQuery) -> Response:
        """List what users did, the newest first."""
        wanted = CommandLogFilter(
            query_args.bot,
            query_args.kind,
            query_args.name,
            query_args.outcome,
            query_args.user,
            query_args.guild,
            query_args.reference,
            aware(query_args.since),
            aware(query_args.until),
        )
        page = await self._logs.page(wanted, query_args.limit, query_args.cursor)
        return answer(CommandLogPage([CommandLog.of(view) for view in page.items], page.next_cursor))
