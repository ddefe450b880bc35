"""Takes a new config while the bot runs: holds it at once where that can be, else says that it takes a new process."""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from flotilla.domain.bounds import plain
from flotilla.domain.config import BotConfig, Presence
from flotilla.domain.config_effects import Effect, whole_effect
from flotilla.protocol import Configured, Reconfigure, WorkerConfig
from flotilla.redaction import redact_text
from flotilla.tasks import spawn
from worker_bot import authoring

TAKE_S: Final = 10.0
"""How long one of the bot's own listeners may take to take new settings."""

MAX_DETAIL_CHARS: Final = 2000
log = logging.getLogger("flotilla.config")


class Configuring:
    """The config that this worker's bot runs with. Made inside a running event loop.

    show: has the bot show a presence. answer: tells the supervisor. Changes are taken one after the other, the newest
    one last, and not before the bot is up.
    """

    def __init__(
        self,
        config: WorkerConfig,
        show: Callable[[Presence], Awaitable[None]],
        answer: Callable[[Configured], object],
    ) -> None:
        self.bot, self.version = config.bot, config.version
        self._extensions = config.extensions
        self._show, self._answer = show, answer
        self._wanted: Reconfigure | None = None
        self._taking: asyncio.Task[None] | None = None
        self._is_up = False

    def take(self, message: Reconfigure) -> None:
        """Take a new config in its turn."""
        self._wanted = message
        self._go_on()

    def up(self) -> None:
        """The bot's session is up: what was wanted meanwhile is taken now."""
        self._is_up = True
        self._go_on()

    def _go_on(self) -> None:
        if self._is_up and self._wanted is not None and self._taking is None:
            self._taking = spawn("the taking of a config", self._take_all())

    async def _take_all(self) -> None:
        try:
            while self._wanted is not None:
                wanted, self._wanted = self._wanted, None
                self._answer(await self._take(wanted))
        finally:
            self._taking = None

    async def _take(self, wanted: Reconfigure) -> Configured:
        effect = whole_effect(self.bot, wanted.bot)
        if effect in {Effect.WARM_RESTART, Effect.NEW_SESSION} or wanted.extensions != self._extensions:
            return Configured(wanted.version, "restart")
        before = self.bot
        try:
            async with asyncio.timeout(TAKE_S):
                await self._change(before, wanted.bot)
        except Exception as fault:
            log.exception("version %d of the config was not taken", wanted.version)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(TAKE_S):
                    await self._change(wanted.bot, before)
            detail = plain(redact_text(f"{type(fault).__name__}: {fault}"), MAX_DETAIL_CHARS)
            return Configured(wanted.version, "failed", detail)
        self.version = wanted.version
        log.info("version %d of the config holds", wanted.version)
        return Configured(wanted.version, "live")

    async def _change(self, before: BotConfig, after: BotConfig) -> None:
        self.bot = after
        if after.presence != before.presence:
            await self._show(after.presence)
        for extension, listener in authoring.listeners():
            if authoring.settings_in(after, extension) != authoring.settings_in(before, extension):
                heard = listener(authoring.settings_in(after, extension))
                if inspect.isawaitable(heard):
                    await heard
