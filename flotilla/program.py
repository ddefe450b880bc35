"""How each program starts: settings, logs, and one clear sentence instead of a traceback when it cannot."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import structlog

from flotilla.errors import FlotillaError, SetupError
from flotilla.hardening import harden
from flotilla.log import configure_logging
from flotilla.mark import wear_mark
from flotilla.redaction import redact_text
from flotilla.settings import Settings, load_settings
from flotilla.tasks import SideTaskError, telling
from flotilla.visible import visible_block

log = structlog.get_logger()
EX_UNAVAILABLE = 69
EX_CONFIG = 78
"""Exit codes of sysexits.h. supervisord.conf treats 78 as final: no restart mends a wrong setting."""


def run_program(
    name: str,
    main: Callable[[Settings], Awaitable[None]],
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Run `main` with settings and logging in place; return the process's exit code.

    loop: makes the event loop; None: asyncio's own.
    A FlotillaError ends as one sentence on stderr: 78 for a misconfiguration, 69 for something that is away.
    """
    harden()
    try:
        settings = load_settings()
        wear_mark(settings.home)
        configure_logging(name, settings.log_level, json=settings.log_format == "json")
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_as_coroutine(main, settings))
    except FlotillaError as fault:
        sentence = visible_block(redact_text(fault.message))
        print(f"{name}: {sentence}", file=sys.stderr)  # noqa: T201 - an operator reads it
        return EX_CONFIG if isinstance(fault, SetupError) else EX_UNAVAILABLE
    except KeyboardInterrupt:
        return 130
    return 0


async def _as_coroutine(main: Callable[[Settings], Awaitable[None]], settings: Settings) -> None:
    """Run `main`. Raises SideTaskError when a task beside it fails that nobody deals with; `main` is cancelled then."""
    this, failures = asyncio.current_task(), list[SideTaskError]()

    def end(name: str, error: BaseException) -> None:
        log.critical("task.failed", task=name, exc_info=error)
        failures.append(SideTaskError(name, error))
        if this is not None:
            this.cancel()

    with telling(end):
        try:
            await main(settings)
        except asyncio.CancelledError:
            if not failures:
                raise
    if failures:
        raise failures[0]
