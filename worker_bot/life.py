"""A worker's event loop from its beginning to its end, also where the bot's own code is what ends it."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from flotilla.domain.reasons import reason_of_exit
from flotilla.protocol import Failing, Fork, Without
from worker_bot.link import Link
from worker_bot.output import Output
from worker_bot.worker import EXIT_FAILED, run_worker

EXIT_CODES = 256
"""An exit status has eight bits (exit(3))."""

log = logging.getLogger("flotilla.worker")


def live(fork: Fork, lacks: Iterable[Without] = (), output: Output | None = None) -> int:
    """Run one bot to its end; return the process's exit code.

    Whoever is not a process's parent never learns its exit code, and a supervisor is not once the fork server is gone.
    So one that the bot's own code ends, in whatever listener, command or task, says before how. lacks: what the worker
    has to do without. output: the bot's log, if it has one.
    """
    link = Link(Path(fork.control_path), fork.bot_id, fork.generation, fork.secret)
    link.lacks = list(lacks)
    code, own = EXIT_FAILED, os.getpid()
    # asyncio lets it out of the loop, and perhaps once more as what is under way is ended in order.
    with contextlib.suppress(SystemExit), asyncio.Runner() as runner:
        try:
            return runner.run(run_worker(fork, link=link, output=output))
        except SystemExit as end:
            code = exit_code_of(end)
            if os.getpid() != own:
                os._exit(code)  # a process that the bot forked in its midst: the loop and its connections are not its
            log.warning("the bot's own code ends the process with exit code %s", code)
            link.send(Failing(reason_of_exit(code), f"its own code calls sys.exit({code})"))
    return code


def exit_code_of(end: SystemExit) -> int:
    """Return the exit code that Python gives a process whose code raises this (library reference, sys.exit)."""
    if end.code is None:
        return 0
    return end.code % EXIT_CODES if isinstance(end.code, int) else EXIT_FAILED
