"""What is kept on the disk while the database is away, and what of it the next supervisor believes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

import supervisor.journal as module
from flotilla.domain.bots import BotStatus
from flotilla.domain.worker import State
from flotilla.ports import FleetRow
from supervisor.journal import Journal
from supervisor.unstored import Unstored, newest
from tests.builders import a_bot, none_refused
from tests.fakes.fleet import MemoryFleetStore

BOT = a_bot(1)
RUNS = BotStatus(
    "1",
    State.STARTING,
    generation=3,
    pid=42,
    process_started_at=7,
    secret_hash=b"\x00\xff",
    since=datetime.now(UTC),
    failed_at=(1.5,),
)


@pytest.fixture
def unstored(tmp_path: Path) -> Unstored:
    return Unstored(tmp_path / "unstored.json")


def test_what_is_kept_comes_back_whole(unstored: Unstored) -> None:
    assert unstored.read() == []
    unstored.write([RUNS])
    assert unstored.read() == [RUNS]
    unstored.clear()
    assert unstored.read() == []


def test_a_damaged_file_is_passed_over(unstored: Unstored, tmp_path: Path) -> None:
    for content in (b"", b"\xff\x00", b'[{"bot_id": 1}]'):
        (tmp_path / "unstored.json").write_bytes(content)
        assert unstored.read() == []


@pytest.mark.parametrize(
    ("stored", "believed"),
    [
        (BotStatus(BOT.id, generation=2, pid=41), True),
        (BotStatus(BOT.id, generation=3), True),
        (BotStatus(BOT.id, generation=3, pid=42), False),
        (BotStatus(BOT.id, generation=4), False),
    ],
)
def test_only_a_later_process_is_believed(stored: BotStatus, believed: bool) -> None:
    kept = BotStatus(BOT.id, generation=3, pid=42)
    [row] = newest([FleetRow(BOT, stored)], [kept])
    assert (row.status is kept) is believed


async def test_what_the_database_does_not_take_is_safe_on_the_disk_until_it_does(
    unstored: Unstored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_AFTER_S", 0.0)
    store = MemoryFleetStore()
    store.put(BOT)
    status = BotStatus(BOT.id, generation=3, pid=42)
    journal = Journal(store, none_refused, unstored)
    journal.put(status)
    await journal.safe()
    assert unstored.read() == [status]
    await journal.writer.flush()
    assert store.statuses[status.bot_id] == status
    assert unstored.read() == []
