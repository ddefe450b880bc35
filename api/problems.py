"""The one place where errors become HTTP: RFC 9457 problems with stable codes."""

import re
from dataclasses import dataclass

import msgspec
import structlog
from quart import Quart, Response, has_request_context, request, websocket
from quart_schema import RequestSchemaValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from api.schemas import FieldError, Problem
from api.tracing import HEADER, request_id
from flotilla.errors import ConflictError, FixInputError, FlotillaError, NotFoundError, RetryError, SetupError
from flotilla.redaction import redact_text

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means to HTTP, and in a few words to people."""

    status: int
    title: str


PROBLEMS: dict[str, Kind] = {
    "json_malformed": Kind(400, "The body is not JSON"),
    "request_malformed": Kind(400, "The request is malformed"),
    "key_missing": Kind(401, "No API key"),
    "key_refused": Kind(401, "API key refused"),
    "role_too_low": Kind(403, "The key's role does not allow this"),
    "peer_refused": Kind(403, "Not a user of this installation"),
    "route_unknown": Kind(404, "No such path"),
    "websocket_unknown": Kind(404, "No WebSocket at this path"),
    "bot_unknown": Kind(404, "No such bot"),
    "bots_unknown": Kind(404, "Some bots do not exist"),
    "operation_unknown": Kind(404, "No such operation"),
    "version_unknown": Kind(404, "No such version"),
    "rollover_unknown": Kind(404, "No such roll-over"),
    "webhook_unknown": Kind(404, "No such webhook"),
    "secret_unknown": Kind(404, "No such secret"),
    "stock_item_unknown": Kind(404, "No such item"),
    "method_not_allowed": Kind(405, "Method not allowed here"),
    "body_too_slow": Kind(408, "The body took too long"),
    "headers_too_slow": Kind(408, "The headers took too long"),
    "name_taken": Kind(409, "Name taken"),
    "token_taken": Kind(409, "Application already in the fleet"),
    "token_of_another": Kind(409, "Token of another application"),
    "still_removing": Kind(409, "Still being removed"),
    "bot_stopped": Kind(409, "The bot is stopped"),
    "bot_not_running": Kind(409, "The bot has no process"),
    "operation_finished": Kind(409, "Already finished"),
    "rollover_under_way": Kind(409, "A roll-over is under way"),
    "webhooks_too_many": Kind(409, "Too many webhooks"),
    "secrets_too_many": Kind(409, "The bot has as many secrets as it can"),
    "stock_full": Kind(409, "The bot has as many items as it can"),
    "config_changed": Kind(412, "The config was changed meanwhile"),
    "secrets_changed": Kind(412, "The secrets were changed meanwhile"),
    "body_too_large": Kind(413, "Body too large"),
    "host_unknown": Kind(421, "Not a host of this API"),
    "input_invalid": Kind(422, "The request does not fit its schema"),
    "name_invalid": Kind(422, "Not a name"),
    "tag_invalid": Kind(422, "Not a tag"),
    "token_malformed": Kind(422, "Not a bot token"),
    "cursor_invalid": Kind(422, "Not a cursor of this list"),
    "sku_invalid": Kind(422, "Not a sku"),
    "selector_empty": Kind(422, "No bots asked for"),
    "selection_empty": Kind(422, "No bots match"),
    "strategy_invalid": Kind(422, "The strategy cannot work"),
    "config_invalid": Kind(422, "Not a config"),
    "config_too_large": Kind(422, "The config is too large"),
    "secret_name_invalid": Kind(422, "Not a name for a secret"),
    "secret_value_invalid": Kind(422, "Not a value for a secret"),
    "guilds_too_many": Kind(422, "Too many guilds have a config"),
    "guild_invalid": Kind(422, "Not a guild's id"),
    "webhook_url_invalid": Kind(422, "Not a URL of a webhook"),
    "webhook_url_private": Kind(422, "The URL leads into this network"),
    "webhook_kind_unknown": Kind(422, "No such kind of happening"),
    "webhook_bot_unknown": Kind(422, "No such bot"),
    "connections_too_many": Kind(429, "Too many connections"),
    "headers_too_large": Kind(431, "Headers too large"),
    "internal_error": Kind(500, "Unexpected error"),
    "misconfigured": Kind(500, "This installation is misconfigured"),
    "database_unavailable": Kind(503, "The database is away"),
    "metrics_unavailable": Kind(503, "Live metrics are away"),
    "http_version_unknown": Kind(505, "Not HTTP/1.1"),
}
"""Every code the API answers. `docs/api.md` shows this table; a test holds the two together."""

# For a code that this table does not know, from a module that is newer than it.
_BY_CLASS: tuple[tuple[type[FlotillaError], Kind], ...] = (
    (NotFoundError, Kind(404, "Not found")),
    (ConflictError, Kind(409, "Conflict")),
    (FixInputError, Kind(422, "Invalid input")),
    (RetryError, Kind(503, "Unavailable for now")),
)
_BY_STATUS = {404: "route_unknown", 405: "method_not_allowed", 408: "body_too_slow", 413: "body_too_large"}
_DETAILS = {
    "route_unknown": "There is nothing at this path. See /docs for what there is.",
    "method_not_allowed": "This path does not take this method. See /docs.",
    "body_too_slow": "The body did not arrive in time. Send it again.",
    "body_too_large": "The body is larger than 64 KiB.",
    "request_malformed": "The request cannot be read. See /docs.",
    "peer_refused": "This socket is for the user that runs this installation, and for root.",
    "websocket_unknown": "There is no WebSocket at this path. See /docs for what there is.",
    "headers_too_slow": "The headers did not arrive within FLOTILLA_HTTP_HEADER_S. Send the request again.",
    "host_unknown": "This API does not answer to the host in the request. Whoever runs it adds names to "
    "FLOTILLA_HTTP_HOSTS; addresses and localhost are always answered.",
    "connections_too_many": "Your address has as many connections open as FLOTILLA_HTTP_CONNECTIONS allows, or all "
    "together have as many as this process can hold. Close some, and use one for many requests.",
    "headers_too_large": "The request line and headers are larger than 16 KiB.",
    "http_version_unknown": "This API speaks HTTP/1.1 and HTTP/1.0.",
    "internal_error": "Something went wrong here. The API's log has the cause under this request id.",
}
_UNKNOWN_FIELD = "Object contains unknown field "
_PLAIN_FIELD = re.compile(r"`[a-z_]{1,32}`")
_FIELD_ERROR = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>[^`]*)`)?", re.DOTALL)


class BadInputError(FixInputError):
    """A body that is JSON but not what it should be."""

    code = "input_invalid"

    def __init__(self, fault: msgspec.ValidationError) -> None:
        super().__init__("The body does not fit its schema: `errors` says where. See /docs.")
        self.error = field_error(fault)


def field_error(fault: Exception) -> FieldError:
    """Return what msgspec says, without the value it quotes: that may be a token in the wrong field."""
    match = _FIELD_ERROR.fullmatch(str(fault))
    what, path = (match["what"], match["path"] or "") if match else ("Invalid.", "")
    if what.startswith("Invalid enum value"):
        what = "Not one of the allowed values"
    elif what.startswith(_UNKNOWN_FIELD) and not _PLAIN_FIELD.fullmatch(what.removeprefix(_UNKNOWN_FIELD)):
        what = "Object contains an unknown field"
    parts = [part for part in re.split(r"[.\[\]]+", path) if part]
    return FieldError(what, "#" + "".join(f"/{part}" for part in parts))


def install_problems(app: Quart) -> None:
    """Answer every error of `app` as a problem, none with internals."""
    app.register_error_handler(FlotillaError, _of_flotilla)
    app.register_error_handler(RequestSchemaValidationError, _of_query)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_unexpected)


async def _of_flotilla(fault: FlotillaError) -> Response:
    if isinstance(fault, SetupError):
        log.error("request.misconfigured", code=fault.code, error=fault.message)
        return _answer("misconfigured", PROBLEMS["misconfigured"], "Its operator finds the cause in the API's log.")
    kind = PROBLEMS.get(fault.code) or next((kind for base, kind in _BY_CLASS if isinstance(fault, base)), None)
    if kind is None:
        return await _of_unexpected(fault)
    errors = [fault.error] if isinstance(fault, BadInputError) else []
    return _answer(fault.code, kind, fault.message, errors)


async def _of_query(fault: RequestSchemaValidationError) -> Response:
    detail = "The query does not fit its schema: `errors` says where. See /docs."
    return _answer("input_invalid", PROBLEMS["input_invalid"], detail, [field_error(fault.validation_error)])


async def _of_http(fault: HTTPException) -> Response:
    if fault.code is None or fault.code >= 500:  # noqa: PLR2004 - server errors, whatever raised them
        return await _of_unexpected(fault)
    code = _BY_STATUS.get(fault.code, "request_malformed")
    answer = _answer(code, PROBLEMS[code], _DETAILS[code])
    if isinstance(fault, MethodNotAllowed) and fault.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(fault.valid_methods))
    return answer


async def _of_unexpected(fault: Exception) -> Response:
    log.error("request.failed", exc_info=fault)
    detail = f"Something went wrong here. The API's log has the cause under request id {request_id()}."
    return _answer("internal_error", PROBLEMS["internal_error"], detail)


def bare_problem(code: str, path: str, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of a problem that is answered before any view: one with a detail of its own.

    path: of the request, empty if it is not known.
    """
    kind = PROBLEMS[code]
    body = msgspec.json.encode(_problem(code, kind, _DETAILS[code], path, request_id))
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (HEADER.lower().encode(), request_id.encode()),
    ]
    return kind.status, headers, body


def _problem(
    code: str, kind: Kind, detail: str, path: str, request_id: str, errors: list[FieldError] | None = None
) -> Problem:
    return Problem(
        type=f"urn:flotilla:problem:{code}",
        title=kind.title,
        status=kind.status,
        detail=redact_text(detail),
        code=code,
        instance=redact_text(path)[:200],
        request_id=request_id,
        errors=errors or [],
    )


def _answer(code: str, kind: Kind, detail: str, errors: list[FieldError] | None = None) -> Response:
    where = request if has_request_context() else websocket
    problem = _problem(code, kind, detail, where.path, request_id(), errors)
    answer = Response(msgspec.json.encode(problem), kind.status, content_type=CONTENT_TYPE)
    if kind.status == 401:  # noqa: PLR2004 - RFC 9110: a 401 names the scheme
        answer.headers["WWW-Authenticate"] = 'Bearer realm="flotilla"'
    if kind.status == 503:  # noqa: PLR2004 - RFC 9110: a 503 may say when to come back
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer
