"""Live metrics in Valkey: the supervisor puts them there, the API reads them. Losing them loses no truth."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import redis.asyncio as redis

from flotilla.domain.metrics import BotMetrics, FleetMetrics
from flotilla.valkey import AWAY, connection_pool

KEY = "flotilla:metrics:"
KEPT_S = 86_400
"""Counts of a supervisor that has been gone for longer begin anew."""

FLEET = "fleet"


class ValkeyMetrics:
    """`LiveMetrics` of one supervisor's slot, on Valkey or Redis."""

    def __init__(self, url: str, slot: int) -> None:
        self._client = redis.Redis(connection_pool=connection_pool(url))
        self._key = f"{KEY}{slot}"

    async def load(self) -> tuple[FleetMetrics | None, dict[str, BotMetrics]]:
        async with self._client.pipeline() as pipeline:
            pipeline.hgetall(self._key)
            [found] = await pipeline.execute()
        rows = {name.decode(): raw for name, raw in found.items()}
        fleet = _fleet(rows.pop(FLEET, None))
        return fleet, {name: bot for name, raw in rows.items() if (bot := _bot(raw)) is not None}

    async def save(self, fleet: FleetMetrics, bots: Mapping[str, BotMetrics], gone: Sequence[str]) -> None:
        rows = {name: _encoder.encode(bot) for name, bot in bots.items()} | {FLEET: _encoder.encode(fleet)}
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key, mapping=rows)
            if gone:
                pipeline.hdel(self._key, *gone)
            pipeline.expire(self._key, KEPT_S)
            await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose(close_connection_pool=True)


class ValkeyMetricsReader:
    """The store as the API uses it."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis(connection_pool=connection_pool(url))

    async def fleets(self, slots: Iterable[int]) -> list[FleetMetrics] | None:
        """Return the metrics of the slots that have any; None while the store is away."""
        try:
            found = [_fleet(raw) for raw in await self._fields(slots, FLEET)]
        except AWAY:
            return None
        return [fleet for fleet in found if fleet is not None]

    async def bot(self, slots: Iterable[int], bot_id: str) -> BotMetrics | None:
        """Return a bot's metrics, the newest there are, None if there are none. Raises AWAY."""
        found = [_bot(raw) for raw in await self._fields(slots, bot_id)]
        return max((bot for bot in found if bot is not None), key=lambda bot: bot.at, default=None)

    async def _fields(self, slots: Iterable[int], name: str) -> list[bytes | None]:
        async with self._client.pipeline() as pipeline:
            for slot in slots:
                pipeline.hget(f"{KEY}{slot}", name)
            return list(await pipeline.execute())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose(close_connection_pool=True)


_encoder = msgspec.msgpack.Encoder()
_bots = msgspec.msgpack.Decoder(BotMetrics)
_fleets = msgspec.msgpack.Decoder(FleetMetrics)


def _bot(raw: bytes | None) -> BotMetrics | None:
    """Return what was stored; None for nothing, and for what another release wrote."""
    try:
        return None if raw is None else _bots.decode(raw)
    except msgspec.MsgspecError:
        return None


def _fleet(raw: bytes | None) -> FleetMetrics | None:
    try:
        return None if raw is None else _fleets.decode(raw)
    except msgspec.MsgspecError:
        return None
