"""Has the supervisor open what this worker may not open itself: where its walls stand, another file lies now."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from flotilla.protocol import Fetch, encode
from flotilla.tasks import spawn

TIMEOUT_S: Final = 2.0
log = logging.getLogger("flotilla.fetching")

Given = Callable[[int], None]
Failed = Callable[[OSError], None]


class Fetcher:
    """Asks beside the event loop, once at a time for each thing. path: of the control socket; the rest proves who asks.

    Whoever wants something still when it was not given asks again.
    """

    def __init__(self, path: Path, bot_id: str, generation: int, secret: bytes) -> None:
        self._path = path
        self._who = (bot_id, generation, secret)
        self._asked: dict[tuple[str, int], asyncio.Task[None]] = {}

    def log(self, given: Given) -> None:
        """Ask for the bot's log."""
        self._ask(Fetch(*self._who, "log"), given, lambda _: None)

    def session(self, shard: int, shards: int, given: Given, failed: Failed) -> None:
        """Ask for the file of a shard's session."""
        self._ask(Fetch(*self._who, "session", shard, shards), given, failed)

    def _ask(self, wanted: Fetch, given: Given, failed: Failed) -> None:
        key = (wanted.what, wanted.shard)
        if key not in self._asked:
            self._asked[key] = spawn("the asking for a file", self._fetch(key, wanted, given, failed))

    async def _fetch(self, key: tuple[str, int], wanted: Fetch, given: Given, failed: Failed) -> None:
        thread = ThreadPoolExecutor(1, "fetch")  # one at rest costs half a megabyte
        try:
            descriptor = await asyncio.get_running_loop().run_in_executor(thread, fetch, self._path, wanted)
            try:
                given(descriptor)
            finally:
                os.close(descriptor)
        except OSError as fault:
            log.debug("the supervisor does not give the %s: %s", wanted.what, fault)
            failed(fault)
        finally:
            thread.shutdown(wait=False)
            del self._asked[key]


def fetch(path: Path, wanted: Fetch) -> int:
    """Return a descriptor of what is wanted. Raises OSError if it does not come within TIMEOUT_S, or never will."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(path))
        sock.sendall(encode(wanted))
        _byte, descriptors, _flags, _address = socket.recv_fds(sock, 1, 1)
    if not descriptors:
        raise PermissionError(f"the supervisor does not give this worker its {wanted.what}")
    return descriptors[0]
