"""One id per request: in the answer, in every log line that it causes, and in one line of its own."""

import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from quart import Quart, Response, g, request

from api.sparingly import Sparingly
from flotilla.ids import new_id
from flotilla.redaction import redact_text

HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/healthz", "/readyz")
log = structlog.get_logger()


def request_id() -> str:
    """Return the id of the request being answered; one that was not begun gets it now."""
    if "request_id" not in g:
        g.request_id = new_id()
    return str(g.request_id)


def install_tracing(app: Quart, sparingly: Sparingly) -> None:
    """Give each request of `app` an id, the caller's own if it sends a sane one, and log how it ended.

    Of requests that are refused without a good key, so many as a stranger likes, only some are logged.
    """
    app.before_request(_begin)
    app.after_request(_ending(sparingly))


async def _begin() -> None:
    given = request.headers.get(HEADER, "")
    sane = _GIVEN.fullmatch(given) and redact_text(given) == given
    g.request_id = given if sane else new_id()
    g.started = time.monotonic()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _ending(sparingly: Sparingly) -> Callable[[Response], Awaitable[Response]]:
    async def end(response: Response) -> Response:
        response.headers[HEADER] = request_id()
        status = response.status_code
        fields = {
            "method": request.method,
            "path": request.path[:200],
            "status": status,
            "duration_ms": round((time.monotonic() - g.started) * 1000, 1),
        }
        if "key" not in g and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            sparingly.warn("request.answered", str(status), **fields)
        else:
            level = log.debug if request.path in _QUIET else log.info
            level("request.answered", key_name=g.key.name if "key" in g else None, **fields)
        return response

    return end
