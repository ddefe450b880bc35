"""A new release of Flotilla is put in the place of the one that runs.

`flotilla upgrade` replaces every program by the release on the disk: the database's shape first, then supervisor, API
and jobs, then the bots, whose sessions are kept. Where a step fails it says which, and it can be run again.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.db.schema import HEAD
from flotilla.launch.layout import PROGRAMS
from flotilla.launch.remains import live_programs
from flotilla.release import BESIDE, PACKAGES, release_on_disk, running_release
from tests.installation import BOTS, Fleet, until

ROOT = Path(__file__).parents[2]
BACK_S = 60.0
pytestmark = pytest.mark.timeout(600)

MIGRATION = """
from alembic import op
import sqlalchemy as sa
revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None
def upgrade() -> None:
    {work}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code, which can be made a newer release."""
    folder = tmp_path / "code"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv-supervisord").symlink_to(ROOT / ".venv-supervisord")
    return folder


@pytest.fixture
def fleet(tmp_path: Path, checkout: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "h") as made:
        made.environment |= {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
        made.up()
        yield made


def new_release(checkout: Path, migration: str) -> None:
    """Change code, the database's shape and how a program is started."""
    schema, conf = checkout / "flotilla" / "db" / "schema.py", checkout / "supervisord.conf"
    schema.write_text(re.sub(r'^HEAD = ".*"$', 'HEAD = "9999"', schema.read_text(), flags=re.MULTILINE))
    path = checkout / "migrations" / "versions" / "9999_next.py"
    path.write_text(MIGRATION.format(head=HEAD, work=migration))
    conf.write_text(conf.read_text().replace("stopwaitsecs=5", "stopwaitsecs=4"))


def pids(fleet: Fleet) -> dict[str, int]:
    return {name: pid for name, pid in live_programs(fleet.settings).items() if name in PROGRAMS}


@pytest.mark.nightly
def test_a_running_fleet_goes_over_to_the_release_on_the_disk(fleet: Fleet, checkout: Path) -> None:
    first = release_on_disk(checkout)
    until(lambda: [running_release(fleet.settings, name) for name in PROGRAMS] == [first] * len(PROGRAMS), BACK_S)
    programs, bots = pids(fleet), fleet.bots()

    new_release(checkout, "raise RuntimeError('a migration that fails')")
    failed = fleet.cli("upgrade", "--yes")
    assert failed.returncode not in {0, None}
    assert "Nothing was replaced; the bots run on." in failed.stderr, failed.stdout + failed.stderr
    assert pids(fleet) == programs

    new_release(checkout, "op.add_column('bots', sa.Column('of_next_release', sa.Integer))")
    shown = fleet.cli("upgrade", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert f"supervisor  runs {first}; restarted" in shown.stdout
    assert "Make one before you go on" in shown.stdout
    assert pids(fleet) == programs

    done = fleet.cli("upgrade", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr + fleet.logs()
    second = release_on_disk(checkout)
    assert {running_release(fleet.settings, name) for name in PROGRAMS} == {second}
    after = pids(fleet)
    assert all(after[name] != programs[name] for name in PROGRAMS)
    assert "No bot was restarted." in done.stdout
    assert f"Done: {BOTS} bots run the new code" in done.stdout
    assert done.stdout.endswith(f"This fleet runs release {second}.\n")
    moved = fleet.bots()
    assert {name: bot["generation"] for name, bot in moved.items()} == {
        name: bot["generation"] + 1 for name, bot in bots.items()
    }

    again = fleet.cli("upgrade", "--dry-run")
    assert "; restarted" not in again.stdout
    assert fleet.cli("down").returncode == 0
    nothing = fleet.cli("upgrade", "--yes")
    assert (nothing.returncode, "There is nothing to upgrade" in nothing.stderr) == (69, True)
