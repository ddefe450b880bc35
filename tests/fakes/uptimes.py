"""`UptimeStore` in memory: what was recorded of a bot, as the domain counts it."""

from datetime import datetime

from flotilla.domain.uptime import Mark, Report, report
from flotilla.errors import NotFoundError, RetryError


class MemoryUptimes:
    """Marks by bot. away: answer nothing, as a database that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.marks: dict[str, list[Mark]] = {}

    async def report(self, bot_id: str, now: datetime) -> Report:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")
        if bot_id not in self.marks:
            raise NotFoundError("There is no bot with this id.", code="bot_unknown")
        return report(self.marks[bot_id], now)
