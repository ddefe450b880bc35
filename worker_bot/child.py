"""What a forked child does to become a process of its own before it runs a bot."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

import setproctitle

from flotilla.hardening import harden
from flotilla.landlock import Ruleset
from flotilla.protocol import EXIT_HOST_FAULT, EXIT_OUT_OF_MEMORY, Fork, Without
from flotilla.redaction import redact_text
from worker_bot import forked
from worker_bot.confinement import confine
from worker_bot.life import live
from worker_bot.memory import use_one_heap
from worker_bot.output import Output, configure_logging, redirect_output
from worker_bot.worker import EXIT_FAILED


def become_worker(fork: Fork, inherited: Iterable[int], ruleset: Ruleset | None = None) -> int:
    """Run the worker that `fork` describes and return its exit code. Called in the child, right after the fork.

    inherited: the fork server's own file descriptors, which a worker must not hold. ruleset: its walls, begun.
    """
    lacks: list[Without] = []
    try:
        fork, output = _become_own_process(fork, inherited, lacks, ruleset)
    except OSError:
        _say(traceback.format_exc())
        return EXIT_HOST_FAULT
    except MemoryError:
        return EXIT_OUT_OF_MEMORY
    try:
        return live(fork, lacks, output)
    except MemoryError:
        _say("the worker has reached its memory limit\n")
        return EXIT_OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - nothing may escape into the fork server's loop in the child
        _say(redact_text(traceback.format_exc()))
        return EXIT_FAILED


def _become_own_process(
    fork: Fork, inherited: Iterable[int], lacks: list[Without], ruleset: Ruleset | None
) -> tuple[Fork, Output]:
    """Return the order with paths that can still be reached, and the log that it writes.

    Raises OSError: the host does not let it be a worker.
    """
    os.setsid()
    for descriptor in inherited:
        os.close(descriptor)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    output = redirect_output(Path(fork.log_path))
    if output.error:
        lacks.append(Without("log", output.error))
    fork = confine(fork, lacks, ruleset)
    harden()
    setproctitle.setproctitle(f"flotilla: bot {fork.name} (generation {fork.generation})")
    use_one_heap()
    configure_logging(sys.stderr)
    forked.install()
    return fork, output


def _say(text: str) -> None:
    with contextlib.suppress(OSError, MemoryError):
        sys.stderr.write(text)
