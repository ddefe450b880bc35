"""What a forked child does to become a process of its own before it runs a bot."""

import asyncio
import gc
import logging
import os
import random
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

import setproctitle

from flotilla.hardening import forbid_core_dumps
from flotilla.log import redact_text
from flotilla.protocol import Fork
from worker_bot.worker import EXIT_FAILED, run_worker

LOG_BYTES = 4 * 1024 * 1024
"""A bot's log is set aside when a new worker finds it larger than this; the one before that is dropped."""


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


def become_worker(fork: Fork, inherited: Iterable[int]) -> int:
    """Run the worker that `fork` describes and return its exit code. Called in the child, right after the fork.

    inherited: the fork server's own file descriptors, which a worker must not hold.
    """
    try:
        os.setsid()
        for descriptor in inherited:
            os.close(descriptor)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _redirect_output(Path(fork.log_path))
        forbid_core_dumps()
        setproctitle.setproctitle(f"flotilla: bot {fork.name} (generation {fork.generation})")
        random.seed()
        gc.enable()
        _configure_logging()
        return asyncio.run(run_worker(fork))
    except BaseException:  # noqa: BLE001 - nothing may escape into the fork server's loop in the child
        sys.stderr.write(redact_text(traceback.format_exc()))
        return EXIT_FAILED


def _redirect_output(path: Path) -> None:
    """Send stdout and stderr, also those of C code and child processes, to the bot's log."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(descriptor)
    os.close(null)


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
