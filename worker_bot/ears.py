"""What hikari tells of a bot's run. To subscribe takes time, so it is done before it is known who listens."""

from typing import Protocol

import hikari


class Listener(Protocol):
    """Whoever runs the bot."""

    async def set_up(self) -> None:
        """The bot starts; what it must have before the gateway connects is done now."""

    async def tear_down(self) -> None:
        """The bot stops."""

    async def shard_up(self, shard: hikari.api.GatewayShard, *, identified: bool) -> None:
        """A shard has a session, a new one if `identified`."""

    async def shard_down(self, shard: hikari.api.GatewayShard) -> None:
        """A shard has lost its connection."""


class Ears:
    """Hears for one bot. starts: also of its start and its stop. Nobody hears what comes before there is a listener."""

    def __init__(self, app: hikari.GatewayBot, *, starts: bool) -> None:
        self.listener: Listener | None = None
        if starts:
            app.subscribe(hikari.StartingEvent, self._starting)
            app.subscribe(hikari.StoppingEvent, self._stopping)
        app.subscribe(hikari.ShardReadyEvent, self._up)
        app.subscribe(hikari.ShardResumedEvent, self._up)
        app.subscribe(hikari.ShardDisconnectedEvent, self._down)

    async def _starting(self, _event: hikari.StartingEvent) -> None:
        if self.listener is not None:
            await self.listener.set_up()

    async def _stopping(self, _event: hikari.StoppingEvent) -> None:
        if self.listener is not None:
            await self.listener.tear_down()

    async def _up(self, event: hikari.ShardReadyEvent | hikari.ShardResumedEvent) -> None:
        if self.listener is not None:
            await self.listener.shard_up(event.shard, identified=isinstance(event, hikari.ShardReadyEvent))

    async def _down(self, event: hikari.ShardDisconnectedEvent) -> None:
        if self.listener is not None:
            await self.listener.shard_down(event.shard)
