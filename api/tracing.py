"""One id per request: in the answer, in every log line that it causes, and in one line of its own."""

import re
import time

import structlog
from quart import Quart, Response, g, request
from ulid import ULID

from flotilla.redaction import redact_text

HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/healthz", "/readyz")
log = structlog.get_logger()


def request_id() -> str:
    """Return the id of the request being answered."""
    return str(g.request_id)


def install_tracing(app: Quart) -> None:
    """Give each request of `app` an id, the caller's own if it sends a sane one, and log how it ended."""
    app.before_request(_begin)
    app.after_request(_end)


async def _begin() -> None:
    given = request.headers.get(HEADER, "")
    sane = _GIVEN.fullmatch(given) and redact_text(given) == given
    g.request_id = given if sane else str(ULID())
    g.started = time.monotonic()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


async def _end(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    level = log.debug if request.path in _QUIET else log.info
    level(
        "request.answered",
        method=request.method,
        path=request.path[:200],
        status=response.status_code,
        duration_ms=round((time.monotonic() - g.started) * 1000, 1),
        key_name=g.key.name if "key" in g else None,
    )
    return response
