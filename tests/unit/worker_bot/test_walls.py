from pathlib import Path

import pytest

from flotilla.protocol import Walls
from worker_bot import walls
from worker_bot.walls import around


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("code/deep", "home/run", "code/inner/home", ".git", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file.py").touch()
    return tmp_path


def names(checkout: Path, *closed: str) -> list[str]:
    found = around(str(checkout), [str(checkout / name) for name in closed])
    return [str(Path(path).relative_to(checkout)) for path in found]


def test_a_folder_without_anything_closed_is_one_place(checkout: Path) -> None:
    assert names(checkout) == ["."]
    assert list(around(str(checkout / "home" / "run"), [str(checkout / "home")])) == [str(checkout / "home" / "run")]


def test_around_a_home_is_all_that_lies_beside_the_way_to_it_but_nothing_hidden(checkout: Path) -> None:
    assert names(checkout, "home") == ["code", "data", "file.py"]
    assert names(checkout, "home", "code/inner/home") == ["code/deep", "data", "file.py"]
    assert names(checkout, "home", "home/flotilla.db") == ["code", "data", "file.py"]


def test_a_closed_folder_is_nothing_and_so_is_a_root_with_one_in_it(checkout: Path) -> None:
    assert names(checkout / "home", "") == []
    assert list(around("/", [str(checkout)])) == []
    assert list(around(str(checkout / "gone"), [str(checkout / "gone" / "home")])) == []


def test_the_plan_has_no_way_into_what_is_closed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(checkout), str(checkout / "code"), "", "relative"])
    monkeypatch.setenv("SSL_CERT_FILE", str(checkout / "file.py"))
    walls.plan.cache_clear()
    found = walls.plan(Walls(1, (str(checkout / "home"),), (str(checkout / "data"),)), strict=True)
    walls.plan.cache_clear()
    assert found.parts == ((str(checkout), (str(checkout / "home"),)),)
    whole = [path for path, _rights in found.whole]
    assert {str(checkout / name) for name in ("code", "data", "file.py")} <= set(whole)
    assert not [path for path in whole if path in {"/", "/etc", str(checkout)}]
    assert len(set(whole)) == len(whole)
