"""Writes down what happened to bots and to the host, for operators and for alerts."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from flotilla.domain.bounds import plain
from flotilla.domain.happenings import KINDS, Happening, Severity
from flotilla.domain.shares import NOTES, Shares
from flotilla.ids import new_id
from flotilla.ports import FleetStore
from flotilla.redaction import redact_text
from supervisor.writer import Writer

REPEAT_S = 60.0
"""What happens to a bot again within this time is counted and told with the next one: a flood tells nobody anything."""

MAX_WAITING = 10_000
"""Kept while the database is away, some 5 MB. Beyond that the oldest are dropped, and that is logged."""

MAX_TOLD = 10_000
"""So many are remembered as told; beyond that, only those that are repetitions still."""

ERROR_CHARS = 200
_LEVELS = {"info": "info", "warning": "warning", "critical": "error"}
log = structlog.get_logger()


class Chronicle:
    """A bounded line of happenings on their way to the database. Nothing waits for it."""

    def __init__(self, store: FleetStore, shares: Shares | None = None) -> None:
        self._shares = shares or Shares()
        self._told: dict[tuple[str | None, str, str], tuple[float, int]] = {}
        self.rows_refused = 0
        """By the database, of any kind."""
        self.writer: Writer[Happening] = Writer(
            "happenings",
            store.record_happenings,
            self.not_stored,
            owner=lambda row: row.bot_id,
            lesser=lambda row: replace(row, detail={}),
            max_waiting=MAX_WAITING,
        )

    def note(
        self,
        code: str,
        bot_id: str | None = None,
        bot_name: str | None = None,
        *,
        distinct: str = "",
        **detail: object,
    ) -> bool:
        """Write down that `code` (of `KINDS`) happened to a bot, or to the host; return False if nothing is written.

        That is for a mere repetition, and for what is beyond the bot's share; the host's own and critical kinds are
        always written. distinct: of a few words, what makes it another one and no repetition. detail: what JSON can
        hold, without secrets.
        """
        kind, now, key = KINDS[code], time.monotonic(), (bot_id, code, distinct)
        told_at, repeated = self._told.get(key, (-REPEAT_S, 0))
        if now - told_at < REPEAT_S:
            self._told[key] = told_at, repeated + 1
            return False
        if bot_id is not None and not self._has_room(bot_id, code, now):
            return False
        if len(self._told) >= MAX_TOLD:
            self._told = {key: told for key, told in self._told.items() if now - told[0] < REPEAT_S}
        self._told[key] = now, 0
        if repeated:
            detail["repeated"] = repeated
        at = datetime.now(UTC)
        self.writer.put(Happening(new_id(at), bot_id, at, code, detail))
        getattr(log, _LEVELS[kind.severity])("happening", bot=bot_name, code=code, title=kind.title, **detail)
        return True

    def not_stored(self, bot_id: str | None, what: str, rows: int, error: Exception) -> None:
        """Tell that no database takes rows of a bot, or of the host; they are dropped. `Refused` of all writers."""
        self.rows_refused += rows
        why = plain(redact_text(f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"), ERROR_CHARS)
        is_news = self.note("not_stored", bot_id, distinct=what, what=what, rows=rows, error=why)
        tell = log.error if is_news else log.debug
        tell("rows.set_aside", what=what, bot_id=bot_id, rows=rows, refused=self.rows_refused, error=why)

    def _has_room(self, bot_id: str, code: str, now: float) -> bool:
        if code == "and_more" or KINDS[code].severity is Severity.CRITICAL:
            return True
        return self._shares.take(bot_id, NOTES, 1, now) == 1

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._told = {key: value for key, value in self._told.items() if key[0] != bot_id}
        self.writer.forget(bot_id)
