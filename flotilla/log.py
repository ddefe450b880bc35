"""Structured logs: a stable `action` and ids as fields. One processor keeps secrets out of every line."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from flotilla.redaction import REDACTED, redact_text
from flotilla.visible import visible_block, visible_line

_BLOCKS = {"action", "exception", "stack"}
"""Of a log event, what has lines of its own: tracebacks, and what libraries say."""
_SECRET_FIELD = re.compile(r"token|secret|password|authorization|api_key", re.IGNORECASE)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact a whole log event, nested values and keys that name a secret included."""
    return {redact_text(str(key)): _redact_value(key, value) for key, value in event.items()}


def _redact_value(key: object, value: Any) -> Any:  # noqa: ANN401 - log fields are of any type
    if isinstance(key, str) and _SECRET_FIELD.search(key) and isinstance(value, str | bytes):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {redact_text(str(inner)): _redact_value(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(None, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def seen(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Show in a log event's texts what would steer the terminal of who reads the log. Others are written as `repr`."""
    return {
        key: (visible_block if key in _BLOCKS else visible_line)(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def configure_logging(program: str, level: str, *, json: bool, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging through one chain of processors.

    program: bound to every line. json: one object a line, else for reading in a terminal.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=False, event_key="action", exception_formatter=_plain)
    )
    last: list[structlog.typing.Processor] = [structlog.processors.EventRenamer("action")]
    if not json:
        last.append(seen)  # JSON escapes it all
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(program=program)


def share_lines(share: structlog.typing.Processor) -> None:
    """Let `share` see each line of structlog's first: it may raise structlog.DropEvent. After `configure_logging`."""
    before, *others = structlog.get_config()["processors"]
    structlog.configure(processors=[before, share, *others])


def _plain(stream: TextIO, info: Any) -> None:  # noqa: ANN401 - structlog's own exception tuple
    structlog.dev.plain_traceback(stream, info)
