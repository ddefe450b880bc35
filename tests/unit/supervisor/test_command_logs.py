"""What users did reaches the database once, by way of the disk while it is away, and is never lost unsaid."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from ulid import ULID

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.protocol import CommandsRan, CommandsStored, ToWorker
from supervisor import command_logs as module
from supervisor.command_logs import CommandLogs
from supervisor.member import Member
from supervisor.spool import Spool
from tests.builders import a_bot, none_refused
from tests.fakes.command_logs import MemoryCommandLogs
from tests.stack import until

BOT = a_bot(1)
MEMBER = Member(BOT)


def a_log(number: int) -> CommandLog:
    return CommandLog(str(ULID()), 1_790_000_000.0 + number, Kind.COMMAND, "ping", Outcome.ANSWERED, number, 7)


def a_batch(number: int, size: int = 2) -> CommandsRan:
    return CommandsRan(number, tuple(a_log(n) for n in range(size)))


@dataclass
class Case:
    """Command logs on a fake database and a real disk; `told` has what workers were answered."""

    store: MemoryCommandLogs
    path: Path
    told: list[tuple[str, ToWorker]]
    logs: CommandLogs
    max_bytes: int = 1_000_000

    def stored(self) -> list[int]:
        """Return the numbers of the batches that workers were told are safe."""
        return [message.number for _, message in self.told if isinstance(message, CommandsStored)]

    def restart(self) -> None:
        """Go on as the next supervisor does."""
        self.logs = CommandLogs(self.store, Spool(self.path, self.max_bytes), self._tell, none_refused)

    def _tell(self, bot_id: str, message: ToWorker) -> bool:
        self.told.append((bot_id, message))
        return True


@pytest.fixture
def case(tmp_path: Path) -> Case:
    made = Case(MemoryCommandLogs(BOT.id), tmp_path / "spool", [], None)  # type: ignore[arg-type]
    made.restart()
    return made


async def test_a_batch_is_stored_and_answered(case: Case) -> None:
    case.logs.take(MEMBER, 1, a_batch(7))
    await case.logs.writer.storing.attempt()
    assert (len(case.store.rows), case.stored()) == (2, [7])
    assert not case.path.exists()


async def test_a_batch_that_is_told_again_is_kept_once(case: Case) -> None:
    batch = a_batch(7)
    for _ in range(2):
        case.logs.take(MEMBER, 1, batch)
        await case.logs.writer.storing.attempt()
    assert (len(case.store.rows), case.stored()) == (2, [7, 7])


async def test_the_old_and_the_new_worker_of_a_bot_are_both_heard(case: Case) -> None:
    case.logs.take(MEMBER, 1, a_batch(7))
    case.logs.take(MEMBER, 2, a_batch(8))
    await case.logs.writer.storing.attempt()
    assert (len(case.store.rows), case.stored()) == (4, [7, 8])


async def test_while_the_database_is_away_the_disk_takes_logs_also_for_the_next_supervisor(case: Case) -> None:
    case.store.away = True
    for number in range(3):
        case.logs.take(MEMBER, 1, a_batch(number))
        await case.logs.writer.storing.attempt()
    assert (case.stored(), len(case.store.rows)) == ([0, 1, 2], 0)
    assert case.path.stat().st_mode & 0o777 == 0o600
    case.restart()
    case.store.away = False
    await case.logs.writer.storing.attempt()
    assert len(case.store.rows) == 6
    assert not case.path.exists()


async def test_a_database_that_hangs_counts_as_away(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORE_TIMEOUT_S", 0.01)

    async def hang(_rows: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(case.store, "record_command_logs", hang)
    case.restart()
    case.logs.take(MEMBER, 1, a_batch(7))
    await case.logs.writer.storing.attempt()
    assert (case.stored(), case.path.exists()) == ([7], True)


async def test_a_full_disk_answers_nobody_so_that_workers_keep_theirs(case: Case) -> None:
    case.max_bytes = 300
    case.restart()
    case.store.away = True
    case.logs.take(MEMBER, 1, a_batch(1, size=1))
    await case.logs.writer.storing.attempt()
    case.logs.take(MEMBER, 1, a_batch(2, size=20))
    await case.logs.writer.storing.attempt()
    assert case.stored() == [1]


async def test_a_crash_in_the_middle_of_writing_costs_only_what_was_not_answered(case: Case) -> None:
    case.store.away = True
    case.logs.take(MEMBER, 1, a_batch(1))
    await case.logs.writer.storing.attempt()
    whole = case.path.read_bytes()
    for tail in (b"\x00", b"\x00\x00\x10\x00half a frame", b"\x00\x00\x00\x02\xff\xff", os.urandom(50)):
        case.path.write_bytes(whole + tail)
        case.restart()
        case.logs.take(MEMBER, 1, a_batch(2))
        await case.logs.writer.storing.attempt()
    assert len(Spool(case.path, case.max_bytes).peek(100)) == 4


async def test_a_file_that_is_nonsense_is_no_obstacle(case: Case) -> None:
    case.path.write_bytes(b"\x00\x00\x00\x03abc" * 10)
    case.restart()
    case.store.away = True
    case.logs.take(MEMBER, 1, a_batch(1))
    await case.logs.writer.storing.attempt()
    assert len(Spool(case.path, case.max_bytes).peek(100)) == 2


async def test_logs_flow_by_themselves_and_catch_up_when_the_database_is_back(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.01)
    monkeypatch.setattr(module, "READ_AT_ONCE", 3)
    case.restart()
    running = asyncio.create_task(case.logs.writer.run())
    case.store.away = True
    for number in range(5):
        case.logs.take(MEMBER, 1, a_batch(number))
        await until(lambda number=number: number in case.stored(), "the batch is safe")
    case.store.away = False
    case.logs.take(MEMBER, 1, a_batch(9, size=7))
    await until(lambda: len(case.store.rows) == 17, "all is in the database")
    await until(lambda: not case.path.exists(), "the disk is free again")
    running.cancel()
