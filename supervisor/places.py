"""The folders and sockets of the home while it runs: what somebody removes is made anew, and told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from flotilla.home import make_folders
from flotilla.settings import Settings
from supervisor.chronicle import Chronicle
from supervisor.control import ControlServer

LOOK_S = 1.0
"""A look is eight calls of the kernel. A worker that starts meanwhile makes what it needs by itself."""

SUPERVISORD_SOCKET = "supervisord.sock"
log = structlog.get_logger()


class Places:
    """Looks after what others find by its path. What only its own program could make anew is told alone.

    let_through: lets bots pass to their folders, as far as they have users of their own.
    """

    def __init__(
        self, settings: Settings, control: ControlServer, chronicle: Chronicle, let_through: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._let_through = let_through
        self._control = control
        self._chronicle = chronicle
        others = [settings.run_dir / SUPERVISORD_SOCKET]
        if settings.redis_url is None:
            others.append(settings.valkey_socket)
        self._others = others
        self._seen: set[Path] = set()
        self._fault = ""

    async def run(self) -> None:
        """Look until cancelled. What cannot be made anew now is tried again."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
                self._fault = ""
            except OSError as fault:
                if str(fault) != self._fault:
                    self._fault = str(fault)
                    log.error("places.not_made", error=self._fault)  # noqa: TRY400 - one line says it

    async def look(self) -> None:
        """Make anew what is gone. Raises OSError."""
        made, lost = await asyncio.to_thread(self._look_at_disk)
        reachable = await asyncio.to_thread(self._control.is_reachable)
        if not reachable:
            await self._control.start_again()
            made.append(self._settings.control_socket)
        for place, is_made in (*((place, True) for place in made), *((place, False) for place in lost)):
            name = str(place.relative_to(self._settings.home))
            self._chronicle.note("place_lost", distinct=name, place=name, made_anew=is_made)

    def _look_at_disk(self) -> tuple[list[Path], list[Path]]:
        """Return the folders that were made anew, and what is gone that was there at an earlier look."""
        made = make_folders(self._settings)
        self._let_through()
        there = {place for place in self._others if place.exists()}
        lost, self._seen = self._seen - there, there
        return made, sorted(lost)
