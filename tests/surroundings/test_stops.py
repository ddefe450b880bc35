"""The fleet is stopped, whatever state it is in.

Once `flotilla down`, Ctrl-C or a closed terminal has ended, nothing of the fleet lives: no program, no fork server, no
bot, and nothing that a bot started, whatever it calls itself. What cannot be stopped is told by name, with an exit code
that is not 0.
"""

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.home import prepare_home
from flotilla.launch.living import living
from flotilla.launch.stop import Patience, stop_everything
from flotilla.mark import mark_of, worn_mark
from flotilla.settings import Settings
from tests.installation import START_S, Fleet, until

ROOT = Path(__file__).parents[2]
DOWN_S = 60.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that is not up yet, whose bots start processes that leave them."""
    with Fleet(tmp_path / "h") as made:
        made.environment["FLOTILLA_EXTENSIONS"] = "worker_bot.extensions.core,tests.extensions.wandering"
        made.environment["FLOTILLA_EXTENSIONS_PATH"] = str(ROOT)
        yield made


def wanderers(fleet: Fleet) -> int:
    return sum(b"36061" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in fleet.pids())


def start_down(fleet: Fleet) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flotilla", "down"]
    return subprocess.Popen(command, env=fleet.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_supervisor_that_hangs_keeps_nothing_alive_and_two_may_stop_it_at_once(fleet: Fleet) -> None:
    fleet.up()
    until(lambda: wanderers(fleet) == len(fleet.bots()))
    # Whatever is to run for a home one day must carry its mark, or a stop cannot find it.
    assert {worn_mark(pid) for pid in fleet.pids()} == {mark_of(fleet.home)}
    os.kill(fleet.pid_of("supervisor"), signal.SIGSTOP)
    stops = [start_down(fleet), start_down(fleet)]
    said = [stop.communicate(timeout=DOWN_S)[0] for stop in stops]
    assert [stop.returncode for stop in stops] == [0, 0], said
    assert fleet.pids() == [], said


@pytest.mark.nightly
def test_bots_without_supervisor_lock_files_and_database_are_stopped(fleet: Fleet) -> None:
    fleet.up()
    workers, supervisor = [bot["pid"] for bot in fleet.bots().values()], fleet.pid_of("supervisor")
    for pid in (fleet.supervisord(), supervisor):
        os.kill(pid, signal.SIGKILL)
    assert fleet.process is not None
    fleet.process.wait(DOWN_S)
    shutil.rmtree(fleet.home / "run")
    for path in fleet.home.glob("flotilla.db*"):
        path.write_bytes(b"no database " * 1000)
    assert set(workers) <= set(fleet.pids())
    down = fleet.cli("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "The database was not asked which bots run" in down.stdout
    assert all(f"({pid})" in down.stdout for pid in workers), down.stdout
    assert fleet.pids() == []


def test_a_closed_terminal_ends_everything_as_an_interrupt_does(fleet: Fleet) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flotilla", "up", "--demo"],
        env=fleet.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - nothing else makes a terminal its own
    )
    os.close(slave)
    os.set_blocking(master, False)
    said = b""

    def greeted() -> bool:
        nonlocal said
        with contextlib.suppress(BlockingIOError):
            said += os.read(master, 65536)
        return b"Ctrl-C stops everything." in said

    until(greeted, START_S)
    os.close(master)
    assert process.wait(DOWN_S) == 0
    assert fleet.pids() == []
    assert "supervisor.bots_stopped" in (fleet.home / "logs" / "supervisor.log").read_text()


@pytest.mark.nightly
def test_an_interrupt_ends_the_bots_of_a_supervisor_that_hangs(fleet: Fleet) -> None:
    fleet.up()
    os.kill(fleet.pid_of("supervisor"), signal.SIGSTOP)
    assert fleet.process is not None
    fleet.process.send_signal(signal.SIGINT)
    time.sleep(1.0)  # a second Ctrl-C of somebody in a hurry; whenever it comes, it changes nothing
    fleet.process.send_signal(signal.SIGINT)
    assert fleet.process.wait(DOWN_S) == 0
    assert fleet.pids() == []


@pytest.mark.nightly
def test_a_supervisord_that_hangs_is_stopped_with_everything(fleet: Fleet) -> None:
    fleet.up()
    os.kill(fleet.supervisord(), signal.SIGSTOP)
    again = fleet.cli("up", "--demo")
    assert (again.returncode, "already runs in" in again.stderr) == (78, True)
    down = fleet.cli("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "does not answer" in down.stdout
    assert fleet.pids() == []


# Processes of their own: what is known as a home's ------------------------------------------------------------------

MARKED = "import sys; from pathlib import Path; from flotilla.mark import wear_mark; wear_mark(Path(sys.argv[1])); "
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
AS_NOBODY = """
import os, sys
from pathlib import Path
from flotilla.launch.stop import Patience, stop_everything
from flotilla.settings import Settings
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    stop_everything(Settings(home=Path(sys.argv[1])), print, Patience(bots_s=0.2, killed_s=0.2))
except Exception as fault:
    sys.exit(str(fault))
"""
WAIT = "print('up', flush=True); import time; time.sleep(3600)"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    prepare_home(made)
    return made


@contextlib.contextmanager
def a_process(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        try:
            yield process
        finally:
            process.kill()


def test_processes_of_another_home_are_left_alone(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    said: list[str] = []
    with (
        a_process(MARKED + WAIT, str(tmp_path / "other")) as other,
        a_process(MARKED + WAIT, str(settings.home)) as ours,
    ):
        assert [process.pid for process in living(settings)] == [ours.pid]
        stop_everything(settings, said.append)
        assert ours.wait() == -signal.SIGTERM
        assert other.poll() is None
    assert said[-1] == "Stopped."


def test_a_process_is_the_homes_by_whatever_path_the_home_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(settings.home)
    with a_process(MARKED + WAIT, str(tmp_path / "link")) as process:
        assert [found.pid for found in living(settings)] == [process.pid]


def test_what_does_not_heed_sigterm_is_killed(settings: Settings) -> None:
    with a_process(MARKED + DEAF + WAIT, str(settings.home)) as process:
        stop_everything(settings, lambda _line: None, Patience(bots_s=0.2))
        assert process.wait() == -signal.SIGKILL


def test_a_helper_that_took_the_mark_off_is_known_by_its_parent(settings: Settings) -> None:
    bare = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**40, 2**40)); "
    code = MARKED + f"import subprocess; subprocess.Popen([sys.executable, '-c', {bare + WAIT!r}]).wait()"
    with a_process(code, str(settings.home)) as process:
        assert len(living(settings)) == 2
        stop_everything(settings, lambda _line: None)
        assert living(settings) == []
        process.wait()


WORKER = (
    "import os, resource, subprocess, time; from flotilla.mark import mark_of, wear_worker_mark, worker_mark; "
    "wear_worker_mark(worker_mark(mark_of(Path(sys.argv[1])), 'bot', 1)); "
)
KINDS = ["quick", "paired", "leaderless", "daemon"]
LOWERED = "[resource.setrlimit(kind, (resource.getrlimit(kind)[1] - 1,) * 2) for kind in (10, resource.RLIMIT_RSS)]"
OTHER_HOMES = f"""
os.setgid(65533), os.setuid(65533)
ready, told = os.pipe()
if os.fork() == 0:
    {LOWERED}
    os.setsid()
    os.write(told, b"x")
    time.sleep(3600)
os.read(ready, 1)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run a process as somebody else")
def test_a_helper_that_makes_another_homes_mark_of_its_own_is_known_by_its_parent(settings: Settings) -> None:
    with a_process(MARKED + WORKER + OTHER_HOMES + WAIT, str(settings.home)) as process:
        found = living(settings)
        assert len(found) == 2
        assert {worn_mark(each.pid) == mark_of(settings.home) for each in found} == {True, False}
        stop_everything(settings, lambda _line: None)
        assert living(settings) == []
        process.wait()


def test_what_begets_others_while_it_is_ended_is_ended(settings: Settings, tmp_path: Path) -> None:
    """It has no parent, session, environment or name of the fleet's; each is another process when one looks again."""
    held = tmp_path / "held"
    held.touch()
    command = [sys.executable, "-I", "-S", str(ROOT / "tests" / "extensions" / "clingers.py"), *KINDS]
    begun = f"subprocess.run({command}, stdout=open({str(held)!r}, 'ab'))\n"
    with a_process(MARKED + WORKER + begun + WAIT, str(settings.home)) as process:
        until(lambda: len(held.read_text().split()) == len(KINDS))
        stop_everything(settings, lambda _line: None, Patience(bots_s=0.2, killed_s=30))
        process.wait()
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run a process as somebody else")
def test_a_bots_user_is_the_homes_whatever_else_a_process_has_changed(settings: Settings) -> None:
    settings.uid_file.write_text(json.dumps({"last": 65533, "uids": {"bot": 65533}}))
    with a_process("import os; os.setgid(65533), os.setuid(65533); " + WAIT) as process:
        assert [each.pid for each in living(settings)] == [process.pid]
        stop_everything(settings, lambda _line: None)
        process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run a process as somebody else")
def test_what_cannot_be_stopped_is_told_by_name_with_an_exit_code(settings: Settings) -> None:
    for folder in (settings.home, *settings.home.parents):
        with contextlib.suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o005)
    with a_process(MARKED + WAIT, str(settings.home)) as process:
        # Imported before it becomes somebody else, who may not be allowed to read the code.
        command = [sys.executable, "-c", AS_NOBODY, str(settings.home)]
        down = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert process.poll() is None
    assert down.returncode == 1, down.stdout + down.stderr
    assert f"1 process of {settings.home} still run" in down.stderr
    assert f"({process.pid})" in down.stderr
    assert "run `flotilla down` as that user, or as root" in down.stderr
    assert "Stopped." not in down.stdout
