"""Builds the bot that a worker runs: hikari underneath, lightbulb on top, the extensions that its config names."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import hikari

from flotilla.domain.config import Presence
from flotilla.protocol import WorkerConfig
from flotilla.tasks import awaited, spawn
from worker_bot import apps, authoring, clients, loading, making, prepared
from worker_bot.ears import Ears
from worker_bot.identify import IdentifyGate
from worker_bot.keepsake import kept
from worker_bot.loading import ExtensionFailedError
from worker_bot.presence import shown
from worker_bot.profiles import lacking, profile_of
from worker_bot.seam import install, under_way
from worker_bot.session import Continuity
from worker_bot.session_file import mark_of

DRAIN_S = 2.0
"""Longest wait for handlers when a session is handed over; an initial response has 3 s (Discord, Interactions)."""


class Bot:
    """One bot's run. `on_ready` is awaited when all its shards are up, `on_lost` when one of them breaks then.

    continuity: the sessions to go on with and to keep. gate: asked before one begins. `resumed` says whether the bot
    came up without any IDENTIFY.
    """

    def __init__(
        self,
        token: str,
        config: WorkerConfig,
        *,
        on_ready: Callable[[], Awaitable[None]],
        on_lost: Callable[[], Awaitable[None]],
        continuity: Continuity | None = None,
        gate: IdentifyGate | None = None,
    ) -> None:
        self._config = config
        self.continuity = continuity or Continuity()
        self.resumed = False
        self.started = asyncio.Event()
        """Set when all shards are up and the bot's code has heard so."""
        self._up: set[int] = set()
        self._identified = False
        install(self.continuity, gate)
        self.before_leaving: Callable[[], Awaitable[None]] | None = None
        """Awaited while Discord can still be asked: what is not answered by now never will be by this process."""
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._setup_failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        clients.watch(self._fail)
        if config.bot.app is not None:
            self._app = apps.make(config.bot.app, token, config.discord_url)
            ears = Ears(self._app, starts=False)
        else:
            made = prepared.bot_of(token, config.discord_url, profile_of(config.bot), config.extensions)
            self._app, self._client, self._loaded, ears = made.app, made.client, made.extensions, made.ears
        ears.listener = self
        self.continuity.suit(int(self._app.intents), kept(self._app.cache.settings), mark_of(token))

    @property
    def latency_ms(self) -> float | None:
        """Round trip of the last gateway heartbeat; None before the first acknowledgement."""
        latency_s = self._app.heartbeat_latency
        return None if math.isnan(latency_s) else latency_s * 1000

    @property
    def cache(self) -> hikari.api.Cache:
        """What hikari keeps."""
        return self._app.cache

    @property
    def rest(self) -> hikari.api.RESTClient:
        """What asks Discord."""
        return self._app.rest

    @property
    def packages(self) -> tuple[str, ...]:
        """Where the bot's own code is: its extensions, or the module of its app."""
        app = self._config.bot.app
        return self._config.extensions if app is None else (app.partition(":")[0],)

    @property
    def ended_itself(self) -> bool:
        """Whether the bot's own code has closed it."""
        return making.is_ended(self._app)

    async def run(self) -> None:
        """Connect and serve until the gateway connection ends for good or `close` is called, by whomever.

        Raises what ended it; `worker_bot.triage.reason_of` says what that means.
        """
        tending = spawn("the keeping of the session", self.continuity.tend())
        running = awaited(self._run())
        try:
            await asyncio.wait({running, self._setup_failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._setup_failed.done():
                await self._setup_failed
            await running
        finally:
            tending.cancel()
            running.cancel()

    async def _run(self) -> None:
        try:
            await making.start(self._app, **self._shown())
        except Exception:
            if self.ended_itself:
                return  # hikari does not look whether a listener has closed the bot that it starts
            raise
        self.started.set()
        if self._app.is_alive:
            await self._app.join()

    async def close(self) -> None:
        """End the sessions (close code 1001: Discord shows the bot offline at once). Safe before and after `run`.

        Does nothing once the sessions are handed over: they are the next worker's.
        """
        if self.continuity.is_handed_over:
            return
        self.continuity.end(closed=self.ended_itself)
        if self._app.is_alive:
            await self._leave()
            await making.close(self._app)

    async def show(self, presence: Presence) -> None:
        """Let the bot show itself so from now on."""
        await self._app.update_presence(**shown(presence))

    def _shown(self) -> dict[str, Any]:
        """Return what is set of the presence; what is not is the bot's own code's to say."""
        return {} if self._config.bot.presence == Presence() else shown(self._config.bot.presence)

    async def reconnect(self, *, fresh: bool, shard_id: int | None = None) -> None:
        """Renew the gateway connections without a new process: resume the sessions, or begin new ones if `fresh`.

        shard_id: of this shard alone; None: of all.
        `on_lost` and `on_ready` are called as for any other loss of a connection.
        """
        await self.continuity.reconnect(fresh=fresh, shard_id=shard_id)

    def username(self) -> str:
        """Return the bot's own name, or a letter before it is known."""
        me = self._app.get_me()
        return me.username if me is not None and me.username else "a"

    def known_guilds(self) -> Iterable[int]:
        """Yield the guilds in the cache that are there."""
        return self._app.cache.get_available_guilds_view()

    async def hand_over(self) -> None:
        """Take no further event, and return when those taken are handled, after `DRAIN_S` at the latest.

        The sessions are not closed: the next process resumes them, or takes over from `continuity.hand_over`.
        """
        await self.continuity.settled()
        self.continuity.seal()
        handling = under_way(self._app, clients.made())
        if handling:
            await asyncio.wait(handling, timeout=DRAIN_S)
        await self._leave()

    async def _leave(self) -> None:
        if self.before_leaving is not None:
            await self.before_leaving()

    async def set_up(self) -> None:
        """Load what is missing and start lightbulb's client."""
        # lightbulb drops interactions until its start() is done, so this runs before the gateway connects. hikari logs
        # and swallows what a listener raises; `run` raises it instead, before a session start is spent.
        try:
            for name in self._config.extensions:
                if name not in self._loaded:
                    await loading.load(self._client, name)
            self._require_enough()
            await self._client.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this start
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End the run because of `error`, the first of several."""
        if not self._setup_failed.done():
            self._setup_failed.set_exception(error)

    def _require_enough(self) -> None:
        if missing := lacking(self._config.bot, authoring.needed_by(self._config.extensions)):
            raise ExtensionFailedError(missing)

    async def tear_down(self) -> None:
        """Stop lightbulb's client."""
        await self._client.stop()

    async def shard_up(self, shard: hikari.api.GatewayShard, *, identified: bool) -> None:
        """Tell when all shards are up."""
        self._identified |= identified
        self._up.add(shard.id)
        if len(self._up) == shard.shard_count:
            self.resumed, self._identified = not self._identified, False
            await self._on_ready()
            # After that: it may wait for Discord's limit of sends, and the bot serves meanwhile.
            if self.resumed and self._config.version and (self._shown() or self._config.bot.app is None):
                # A session that goes on shows what the worker before has set; a whole bot may do that by itself.
                await self.show(self._config.bot.presence)

    async def shard_down(self, shard: hikari.api.GatewayShard) -> None:
        """Tell when the first shard is down."""
        all_up = len(self._up) == shard.shard_count
        self._up.discard(shard.id)
        if all_up:
            await self._on_lost()
