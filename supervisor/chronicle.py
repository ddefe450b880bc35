"""Writes down what happened to bots and to the host, for operators and for alerts."""

import asyncio
import random
import time
from datetime import UTC, datetime

import structlog
from ulid import ULID

from flotilla.domain.happenings import KINDS, Happening
from flotilla.errors import RetryError
from flotilla.ports import FleetStore

RETRY_CAP_S = 5.0
REPEAT_S = 60.0
"""What happens to a bot again within this time is counted and told with the next one: a flood tells nobody anything."""

MAX_WAITING = 10_000
"""Kept while the database is away, some 5 MB. Beyond that the oldest are dropped, and that is logged."""

_LEVELS = {"info": "info", "warning": "warning", "critical": "error"}
log = structlog.get_logger()


class Chronicle:
    """A bounded line of happenings on their way to the database. Nothing waits for it."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._waiting: list[Happening] = []
        self._told: dict[tuple[str | None, str, str], tuple[float, int]] = {}
        self._noted = asyncio.Event()

    def note(
        self,
        code: str,
        bot_id: str | None = None,
        bot_name: str | None = None,
        *,
        distinct: str = "",
        **detail: object,
    ) -> bool:
        """Write down that `code` (of `KINDS`) happened to a bot, or to the host; return False for a mere repetition.

        distinct: of a few words, what makes it another one and no repetition. detail: what JSON can hold, without
        secrets.
        """
        kind, now, key = KINDS[code], time.monotonic(), (bot_id, code, distinct)
        told_at, repeated = self._told.get(key, (-REPEAT_S, 0))
        if now - told_at < REPEAT_S:
            self._told[key] = told_at, repeated + 1
            return False
        self._told[key] = now, 0
        if repeated:
            detail["repeated"] = repeated
        at = datetime.now(UTC)
        self._waiting.append(Happening(str(ULID.from_datetime(at)), bot_id, at, code, detail))
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[: MAX_WAITING // 10]
            log.error("chronicle.dropped", happenings=MAX_WAITING // 10)
        self._noted.set()
        getattr(log, _LEVELS[kind.severity])("happening", bot=bot_name, code=code, title=kind.title, **detail)
        return True

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._told = {key: value for key, value in self._told.items() if key[0] != bot_id}
        self._waiting = [row for row in self._waiting if row.bot_id != bot_id]

    async def run(self) -> None:
        """Store until cancelled. A database that is away is retried with a capped, jittered wait."""
        failures = 0
        while True:
            await self._noted.wait()
            self._noted.clear()
            try:
                await self.flush()
                failures = 0
            except RetryError as fault:
                failures += 1
                delay_s = random.uniform(0, min(RETRY_CAP_S, 0.1 * 2 ** min(failures, 10)))  # noqa: S311 - jitter
                log.warning("chronicle.database_away", error=fault.message, retry_in_s=round(delay_s, 2))
                await asyncio.sleep(delay_s)
                self._noted.set()

    async def flush(self) -> None:
        """Store what is noted so far. Raises RetryError, and then keeps it."""
        noted, self._waiting = self._waiting, []
        try:
            await self._store.record_happenings(noted)
        except RetryError:
            self._waiting = noted + self._waiting
            raise
