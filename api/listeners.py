"""The two sockets of the API: TCP for everybody, and a Unix socket in the home for the command line.

They are made once, handed up to the outer process (`api.keeper`), which hands them down to the next inner one.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import structlog

from flotilla.address import BACKLOG, listen_patiently
from flotilla.home import make_folders
from flotilla.settings import Settings
from flotilla.unix_socket import listen_privately, place_of

TCP = "tcp"
UNIX = "unix"
LOOK_S = 1.0
"""Between two looks whether the Unix socket is still at its path."""

log = structlog.get_logger()


class Listeners:
    """The sockets on which the API listens. Their names are what the outer process knows them by.

    held: those of an inner process before this one, as descriptors by name; the Unix socket's name tells its place.
    keeper: where sockets are handed up; None: nobody keeps them.
    """

    def __init__(self, settings: Settings, held: Mapping[str, int], keeper: socket.socket | None) -> None:
        self._settings = settings
        self._path = settings.api_socket
        self._keeper = keeper
        self._held = {name.partition(":")[0]: (name, descriptor) for name, descriptor in held.items()}
        self._place: tuple[int, int] | None = None

    async def open(self) -> list[socket.socket]:
        """Return both, taken over or made. Raises SetupError (`port_taken`, `address_unusable`), OSError."""
        tcp = self._inherited(TCP) or await listen_patiently(self._settings.http_host, self._settings.http_port)
        return [tcp, self._open_unix()]

    def keep(self, listeners: list[socket.socket]) -> None:
        """Hand sockets up, so that they outlive this process. What cannot be kept is told and dies with it."""
        for listener in listeners:
            name = self._unix_name() if listener.family is socket.AF_UNIX else TCP
            if self._keeper is None or (name, listener.fileno()) in self._held.values():
                continue
            try:
                socket.send_fds(self._keeper, [name.encode()], [listener.fileno()])
            except OSError as fault:
                log.error("listener.not_kept", name=name, error=str(fault))  # noqa: TRY400 - one line says it

    async def watch(self, serve_too: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Make the Unix socket anew for ever when it is gone from its path, and have it served. Told once per fault."""
        told = ""
        while True:
            await asyncio.sleep(LOOK_S)
            if place_of(self._path) == self._place:
                continue
            try:
                make_folders(self._settings)
                listener = self._make_unix()
            except OSError as fault:
                if str(fault) != told:
                    told = str(fault)
                    log.error("listener.not_made", path=str(self._path), error=told)  # noqa: TRY400 - as above
                continue
            log.warning("listener.made_anew", path=str(self._path))
            told = ""
            await serve_too(listener)
            self.keep([listener])

    def _open_unix(self) -> socket.socket:
        name, _ = self._held.get(UNIX, ("", 0))
        self._place = _parse_place(name)
        if self._place is not None and place_of(self._path) == self._place:
            inherited = self._inherited(UNIX)
            if inherited is not None:
                return inherited
        elif UNIX in self._held:
            os.close(self._held.pop(UNIX)[1])  # nobody finds it any more
        return self._make_unix()

    def _make_unix(self) -> socket.socket:
        listener = listen_privately(self._path, BACKLOG)
        self._place = place_of(self._path)
        return listener

    def _inherited(self, what: str) -> socket.socket | None:
        if what not in self._held:
            return None
        return socket.socket(fileno=self._held[what][1])

    def _unix_name(self) -> str:
        device, inode = self._place or (0, 0)
        return f"{UNIX}:{device}:{inode}"


def _parse_place(name: str) -> tuple[int, int] | None:
    with contextlib.suppress(ValueError):
        _, device, inode = name.split(":")
        return int(device), int(inode)
    return None
