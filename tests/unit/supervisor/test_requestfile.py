"""What the host's address has done survives the supervisor, a reboot and a clock that is set."""

import os
from pathlib import Path

import pytest

from flotilla.domain.requests import Brake, Budget, Rules, bin_of
from supervisor import requestfile
from supervisor.requestfile import read, write

NOW, WALL = 50_000.0, 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "invalid-requests.json"


@pytest.fixture
def written(path: Path) -> Path:
    budget = Budget(Rules(100))
    budget.ledger.report("a", 3, [(bin_of(NOW), 60)], NOW)
    budget.judge(NOW, 1)
    write(path, budget.saved(), NOW, WALL)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    return path


def known(path: Path, now: float, wall: float) -> tuple[int, Brake, list[str]]:
    budget = Budget(Rules(100))
    assert read(path, budget, now, wall)
    return budget.ledger.total(now), budget.brake, list(budget.quarantines)


@pytest.mark.parametrize("wall", [WALL + 5, WALL - 1e6, WALL + 1e6])
def test_a_clock_that_was_set_changes_nothing_within_one_run_of_the_kernel(written: Path, wall: float) -> None:
    assert known(written, NOW + 5, wall) == (60, Brake.SLOW, ["a"])


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(120.0, 60), (-1e6, 60), (900.0, 0)],
    ids=["two minutes", "of the future", "too old"],
)
def test_after_a_reboot_the_wall_clock_tells_the_age(
    written: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, expected: int
) -> None:
    monkeypatch.setattr(requestfile, "BOOT_ID", Path("/nowhere"))
    assert known(written, 30.0, WALL + age_s)[0] == expected


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"nonsense", b"{}", b"\xff\xfe", b'{"boot_id":1}', os.urandom(200)),
        b'{"boot_id":"","monotonic_s":-1e308,"wall_s":-1.5e308,"saved":{"counts":[["a",1,2,3]]}}',
    ],
)
def test_damaged_file_is_passed_over(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    budget = Budget(Rules(100))
    read(path, budget, NOW, 1.5e308)
    assert budget.ledger.total(NOW) == 0


def test_no_file_is_nothing_and_a_folder_in_its_place_stops_nobody(path: Path) -> None:
    assert not read(path, Budget(Rules(100)), NOW, WALL)
    path.mkdir()
    write(path, Budget(Rules(100)).saved(), NOW, WALL)
    assert not read(path, Budget(Rules(100)), NOW, WALL)
