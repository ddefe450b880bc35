"""What is written down of workers for people: their logs within bounds, how they ended, where they are when asked."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from flotilla.botlog import END_OF_TASKS, clean, log_file, mark, read_range, size_of, tail
from flotilla.domain.diagnosis import Exit, Stacks
from flotilla.ports import FleetRow, FleetStore
from flotilla.redaction import redact_values
from supervisor.botlogs import FLOOD_LOOK_S, LOOK_S, BotLogs, Key
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.member import Member
from supervisor.writer import Refused, Writer

STACKS_WAIT_S = 1.5
"""How long a worker may take to write its stacks; one whose event loop is blocked never writes those of its tasks."""

STACKS_POLL_S = 0.05
STACKS_BYTES = 128 * 1024
MAX_EXITS_WAITING = 2000
"""Kept while the database is away: about 10 MB. Beyond that the oldest are dropped, and that is logged."""

UNSTORABLE = "No database can store what the worker told."
log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Noted:
    """An exit. path, size: its log as it was; None once its tail was read, and in one that is to have none."""

    end: Exit
    path: Path | None
    size: int = 0


class Diagnosis:
    """Notes exits, has stacks written, and bounds the logs. Nothing here may delay or fail what keeps bots alive."""

    def __init__(
        self,
        store: FleetStore,
        log_dir: Path,
        bot_log_bytes: int,
        refused: Refused,
        containment: Containment | None = None,
        secrets_of: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        self._store = store
        self._containment = containment or Containment()
        self._log_dir = log_dir
        self._secrets_of = secrets_of
        self._logs = BotLogs(bot_log_bytes)
        self.exits: Writer[_Noted] = Writer(
            "exits",
            self._record_exits,
            refused,
            owner=lambda row: row.end.bot_id,
            lesser=lambda row: _Noted(replace(row.end, tail=""), None),
            max_waiting=MAX_EXITS_WAITING,
        )
        self.stacks: Writer[Stacks] = Writer(
            "stacks",
            self._record_stacks,
            refused,
            owner=lambda row: row.bot_id,
            lesser=lambda row: replace(row, text=None, fault=UNSTORABLE),
        )
        self._answered: dict[str, int] = {}
        self._answers: dict[str, asyncio.Task[None]] = {}

    # Logs ------------------------------------------------------------------------------------------------------------

    async def bound_logs(self, fleet: Fleet) -> None:
        """Keep every log within its bound until cancelled."""
        wanted: dict[Key, Path] = {}
        seen = -1
        while True:
            # Made anew at every look, the paths of 500 bots would cost 2 % of a core, and the rest half a percent.
            if fleet.processes != seen:
                seen = fleet.processes
                living = {
                    (member.bot.id, member.worker.generation): member for member in fleet if member.process is not None
                }
                wanted = {key: wanted.get(key) or self._path(member) for key, member in living.items()}
            flooded = await asyncio.to_thread(self._logs.look, wanted, time.monotonic())
            await asyncio.sleep(FLOOD_LOOK_S if flooded else LOOK_S)

    # Exits -----------------------------------------------------------------------------------------------------------

    def note_exit(self, member: Member, end: Exit) -> None:
        """Store how a worker ended, with the log as it is at this moment, soon."""
        path = self._path(member)
        self.exits.put(_Noted(end, path, size_of(path)))

    async def _record_exits(self, noted: Sequence[_Noted]) -> None:
        secrets = {row.end.bot_id: self._secrets_of(row.end.bot_id) for row in noted if row.path is not None}
        await asyncio.to_thread(_read_tails, noted, secrets)
        await self._store.record_exits([row.end for row in noted])

    # Stacks ----------------------------------------------------------------------------------------------------------

    def dump(self, member: Member, why: str = "its event loop is blocked") -> bool:
        """Have a worker write its stacks to its log, under a line that says why; return False if it cannot."""
        if member.process is None:
            return False
        facts = f"generation {member.worker.generation}, process {member.process.pid}"
        marked = mark(self._path(member), f"flotilla: stacks of {facts}: {why}", time.time())
        dumped = member.process.dump_stacks()
        log.info("worker.stacks", bot=member.bot.name, pid=member.process.pid, marked=marked, dumped=dumped, why=why)
        return dumped

    def answer_requests(self, fleet: Fleet, rows: Iterable[FleetRow]) -> None:
        """Answer the requests for stacks that have no answer yet."""
        for row in rows:
            bot, member = row.bot, fleet.get(row.bot.id)
            answered = max(row.stacks_answered, self._answered.get(bot.id, 0))
            if member is None or bot.stacks_epoch <= answered or bot.id in self._answers:
                continue
            task = self._containment.spawn(bot, "stacks", self._answer(member, bot.stacks_epoch))
            self._answers[bot.id] = task

    async def _answer(self, member: Member, epoch: int) -> None:
        try:
            await self._record(member, epoch)
        finally:
            del self._answers[member.bot.id]

    async def _record(self, member: Member, epoch: int) -> None:
        generation = member.worker.generation
        text, fault = await self._stacks(member)
        answer = Stacks(member.bot.id, epoch, datetime.now(UTC), generation, text, fault)
        self.stacks.put(answer, key=member.bot.id)
        self._answered[member.bot.id] = epoch

    async def _record_stacks(self, rows: Sequence[Stacks]) -> None:
        for row in rows:
            await self._store.record_stacks(row)

    async def _stacks(self, member: Member) -> tuple[str | None, str | None]:
        """Return the stacks, or why there are none."""
        path = self._path(member)
        start = size_of(path)
        if member.process is None:
            return None, "The bot has no process now."
        if not self.dump(member, "they were asked for"):
            return None, "This worker cannot tell: it is only starting, or another release started it. Try again."
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STACKS_WAIT_S
        secrets = self._secrets_of(member.bot.id)
        while True:
            await asyncio.sleep(STACKS_POLL_S)
            text = clean(await asyncio.to_thread(read_range, path, start, None, STACKS_BYTES))
            text = redact_values(text, secrets)
            if END_OF_TASKS in text:
                return text.partition(END_OF_TASKS)[0].rstrip() + "\n", None
            if loop.time() > deadline:
                return text + "\nThe event loop did not turn meanwhile, so its tasks are not shown.\n", None

    def _path(self, member: Member) -> Path:
        return log_file(self._log_dir, member.bot.name)


def _read_tails(noted: Iterable[_Noted], secrets: Mapping[str, Collection[str]]) -> None:
    """Read the tails that were not: once, so that they are those of the moment also when the database was away.

    secrets: values by bot id, which are replaced: what a child process of the bot prints is redacted by nobody else.
    """
    for row in noted:
        if row.path is not None:
            shown = redact_values(tail(row.path, row.size), secrets.get(row.end.bot_id, ()))
            row.end, row.path = replace(row.end, tail=shown), None
