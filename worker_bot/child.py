"""What a forked child does to become a process of its own before it runs a bot."""

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

import setproctitle

from flotilla.hardening import forbid_core_dumps
from flotilla.protocol import EXIT_OUT_OF_MEMORY, Fork
from flotilla.redaction import redact_text
from worker_bot import forked
from worker_bot.confinement import confine
from worker_bot.memory import use_one_heap
from worker_bot.output import configure_logging, redirect_output
from worker_bot.worker import EXIT_FAILED, run_worker


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
        output = redirect_output(Path(fork.log_path))
        fork = confine(fork)
        forbid_core_dumps()
        setproctitle.setproctitle(f"flotilla: bot {fork.name} (generation {fork.generation})")
        use_one_heap()
        configure_logging(sys.stderr)
        forked.install()
        return asyncio.run(run_worker(fork, output=output))
    except MemoryError:
        with contextlib.suppress(OSError, MemoryError):
            sys.stderr.write("the worker has reached its memory limit\n")
        return EXIT_OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - nothing may escape into the fork server's loop in the child
        with contextlib.suppress(OSError):
            sys.stderr.write(redact_text(traceback.format_exc()))
        return EXIT_FAILED
