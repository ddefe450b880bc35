"""Builds the bot that a worker runs: hikari underneath, lightbulb on top, the extensions that its config names."""

import asyncio
import importlib
import math
import ssl
from collections.abc import Awaitable, Callable

import hikari
import lightbulb

from flotilla.protocol import WorkerConfig
from worker_bot.triage import ExtensionFailedError

# Built once, before any fork: shared by every worker it saves about 3 MB each.
SSL_CONTEXT = ssl.create_default_context()

# Guilds, channels and roles are what commands need; members and messages are what fills memory.
LEAN_CACHE = (
    hikari.api.CacheComponents.ME
    | hikari.api.CacheComponents.GUILDS
    | hikari.api.CacheComponents.GUILD_CHANNELS
    | hikari.api.CacheComponents.ROLES
)


class Bot:
    """One bot's run. `on_ready` and `on_lost` are awaited whenever the gateway session comes up or breaks."""

    def __init__(
        self,
        token: str,
        config: WorkerConfig,
        *,
        on_ready: Callable[[], Awaitable[None]],
        on_lost: Callable[[], Awaitable[None]],
    ) -> None:
        self._config = config
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._app = hikari.GatewayBot(
            token,
            rest_url=config.discord_url,
            banner=None,
            logs=None,
            suppress_optimization_warning=True,
            intents=hikari.Intents.ALL_UNPRIVILEGED,
            cache_settings=hikari.impl.CacheSettings(components=LEAN_CACHE),
            http_settings=hikari.impl.HTTPSettings(ssl=SSL_CONTEXT),
        )
        self._client = lightbulb.client_from_app(self._app)
        self._setup_failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._app.subscribe(hikari.StartingEvent, self._set_up)
        self._app.subscribe(hikari.StoppingEvent, self._tear_down)
        self._app.subscribe(hikari.ShardReadyEvent, self._ready)
        self._app.subscribe(hikari.ShardResumedEvent, self._ready)
        self._app.subscribe(hikari.ShardDisconnectedEvent, self._lost)

    @property
    def latency_ms(self) -> float | None:
        """Round trip of the last gateway heartbeat; None before the first acknowledgement."""
        latency_s = self._app.heartbeat_latency
        return None if math.isnan(latency_s) else latency_s * 1000

    async def run(self) -> None:
        """Connect and serve until the gateway connection ends for good or `close` is called.

        Raises what ended it; `worker_bot.triage.reason_of` says what that means.
        """
        starting = asyncio.ensure_future(self._app.start(check_for_updates=False))
        await asyncio.wait({starting, self._setup_failed}, return_when=asyncio.FIRST_COMPLETED)
        if self._setup_failed.done():
            starting.cancel()
            await self._setup_failed
        await starting
        if self._app.is_alive:
            await self._app.join()

    async def close(self) -> None:
        """End the session (close code 1001: Discord shows the bot offline at once). Safe before and after `run`."""
        if self._app.is_alive:
            await self._app.close()

    async def _set_up(self, _event: hikari.StartingEvent) -> None:
        # lightbulb drops interactions until its start() is done, so this runs before the gateway connects. hikari logs
        # and swallows what a listener raises; `run` raises it instead, before a session start is spent.
        try:
            await self._load_extensions()
            await self._client.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this start
            self._setup_failed.set_exception(error)

    async def _load_extensions(self) -> None:
        for name in self._config.extensions:
            try:
                importlib.import_module(name)  # lightbulb logs an import error and goes on without the extension
            except Exception as error:
                raise ExtensionFailedError(f"the extension {name} could not be imported") from error
            await self._client.load_extensions(name)

    async def _tear_down(self, _event: hikari.StoppingEvent) -> None:
        await self._client.stop()

    async def _ready(self, _event: hikari.ShardReadyEvent | hikari.ShardResumedEvent) -> None:
        await self._on_ready()

    async def _lost(self, _event: hikari.ShardDisconnectedEvent) -> None:
        await self._on_lost()
