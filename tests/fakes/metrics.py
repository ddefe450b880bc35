"""`LiveMetrics` in memory, and what the API reads of it. It passes the contract suite of the real one."""

from collections.abc import Iterable, Mapping, Sequence

import redis

from flotilla.domain.metrics import BotMetrics, FleetMetrics


class MemoryMetrics:
    """Of slot 0. away: answer nothing, as a Valkey that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.fleet: FleetMetrics | None = None
        self.bots: dict[str, BotMetrics] = {}
        self.saves = 0

    async def load(self) -> tuple[FleetMetrics | None, dict[str, BotMetrics]]:
        self._require_there()
        return self.fleet, dict(self.bots)

    async def save(self, fleet: FleetMetrics, bots: Mapping[str, BotMetrics], gone: Sequence[str]) -> None:
        self._require_there()
        self.saves += 1
        self.fleet = fleet
        self.bots.update(bots)
        for bot_id in gone:
            self.bots.pop(bot_id, None)

    async def fleets(self, slots: Iterable[int]) -> list[FleetMetrics] | None:
        return None if self.away else [self.fleet] if 0 in slots and self.fleet is not None else []

    async def bot(self, slots: Iterable[int], bot_id: str) -> BotMetrics | None:
        self._require_there()
        return self.bots.get(bot_id) if 0 in slots else None

    async def close(self) -> None:
        pass

    def _require_there(self) -> None:
        if self.away:
            raise redis.ConnectionError("gone")
