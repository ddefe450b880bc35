"""What all tests need of the process that they run in."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest
import structlog


def pytest_configure() -> None:
    """Listen to what a terminal would send, also when started by something that ignores it: our programs inherit it.

    A shell that puts a job into the background ignores SIGINT for it, and nohup ignores SIGHUP.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Leave the umask as it is: commands that run in this process close it to others."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def same_log() -> Iterator[None]:
    """Leave logging as it is: commands, programs and bots that run in this process say where their lines go."""
    root, was_configured, before = logging.getLogger(), structlog.is_configured(), structlog.get_config()
    level = root.level
    yield
    root.setLevel(level)
    if was_configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()
