import time
from pathlib import Path

import pytest

from flotilla.settings import Settings
from supervisor.zygote import CONTROL_SOCKET, workers_may_live


def test_workers_may_live_where_a_supervisor_left_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HOME", str(tmp_path))
    settings = Settings(home=tmp_path)
    assert settings.control_socket == tmp_path / CONTROL_SOCKET
    assert not workers_may_live()
    settings.control_socket.parent.mkdir(parents=True)
    settings.control_socket.touch()
    assert workers_may_live()


def test_no_worker_outlives_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HOME", str(tmp_path))
    (tmp_path / CONTROL_SOCKET).parent.mkdir(parents=True)
    (tmp_path / CONTROL_SOCKET).touch()
    later = tmp_path.stat().st_ctime + time.clock_gettime(time.CLOCK_BOOTTIME) + 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert not workers_may_live()
