"""What is said of a home's programs: facts, or sentences that say what to do."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flotilla.db.supervisors import SupervisorSeen
from flotilla.domain.vitals import HostVitals
from flotilla.errors import RetryError
from flotilla.home import ProgramLock, prepare_home
from flotilla.launch.layout import supervisord_socket
from flotilla.launch.programs import supervisor_reports, supervisord_lives
from flotilla.release import record_release
from flotilla.settings import Settings
from flotilla.unix_socket import listen_privately

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    prepare_home(settings)
    return settings


@pytest.fixture
def lock(settings: Settings) -> Iterator[ProgramLock]:
    """The supervisor's lock, held by this process."""
    lock = ProgramLock(settings, "supervisor")
    lock.acquire()
    yield lock
    lock.release()


def reported(age_s: float) -> list[SupervisorSeen]:
    at = NOW - timedelta(seconds=age_s)
    return [SupervisorSeen(0, os.getpid(), at, at, HostVitals())]


def test_supervisor_that_turns_and_is_not_heard_is_not_said_to_be_gone(settings: Settings, lock: ProgramLock) -> None:
    lock.beat()
    with pytest.raises(RetryError, match="it runs, and the database takes nothing of what it reports"):
        supervisor_reports(reported(60), NOW, settings)
    with pytest.raises(RetryError, match="gone or hangs"):
        supervisor_reports(reported(60), NOW)
    assert "seen 1 s ago" in supervisor_reports(reported(1), NOW, settings)


@pytest.mark.usefixtures("lock")
def test_supervisor_that_does_not_say_that_it_turns_is_gone_or_hangs(settings: Settings) -> None:
    with pytest.raises(RetryError, match="gone or hangs"):
        supervisor_reports(reported(60), NOW, settings)


@pytest.mark.usefixtures("lock")
def test_supervisord_that_is_gone_is_named_where_it_started_what_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPERVISOR_ENABLED", raising=False)
    record_release(settings, "supervisor")
    assert "were not started by it" in supervisord_lives(settings)
    monkeypatch.setenv("SUPERVISOR_ENABLED", "1")
    record_release(settings, "supervisor")
    with pytest.raises(RetryError, match="what ends stays ended"):
        supervisord_lives(settings)
    with listen_privately(supervisord_socket(settings), 1):
        assert supervisord_lives(settings) == f"process {os.getpid()}"
