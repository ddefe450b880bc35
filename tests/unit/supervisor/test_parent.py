from pathlib import Path

import pytest

from supervisor.parent import everything_stops


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9", "unix:///nowhere/at.all"])
async def test_without_a_supervisord_that_answers_the_bots_are_left_running(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", url)
    assert not await everything_stops()


async def test_socket_that_nobody_listens_on_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "supervisord.sock").touch()
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", f"unix://{tmp_path / 'supervisord.sock'}")
    assert not await everything_stops()
