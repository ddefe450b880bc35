"""`CommandLogStore` in memory. It passes the contract suite of the real one (tests/contract/test_command_logs.py)."""

from collections.abc import Sequence

from flotilla.domain.command_logs import CommandLog
from flotilla.errors import RetryError


class MemoryCommandLogs:
    """Logs by id. away: answer nothing, as a database that is gone. bots: those that there are."""

    def __init__(self, *bots: str) -> None:
        self.away = False
        self.bots = set(bots)
        self.rows: dict[str, tuple[str, CommandLog]] = {}

    async def record_command_logs(self, rows: Sequence[tuple[str, CommandLog]]) -> None:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")
        for bot_id, log in rows:
            if bot_id in self.bots:
                self.rows.setdefault(log.id, (bot_id, log))
