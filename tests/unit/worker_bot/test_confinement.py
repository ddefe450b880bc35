"""What a worker gives up, in processes of their own: most of it cannot be taken back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flotilla import landlock
from worker_bot.confinement import _hand_over, _make_temporary

HARNESS = """
import json, os, psutil, resource, sys, threading
from flotilla.hardening import limit_for_good, limit_growth, own_memory, own_private_bytes
from flotilla.protocol import Bounds, Fork
from worker_bot.confinement import WorkerMemory, confine
MIB = 1 << 20
def order(session="", **bounds):
    return Fork("id", "name", 1, b"", "/control.sock", "/log", session, Bounds(**bounds))
def allows(size):
    try:
        return bool(bytearray(size))
    except MemoryError:
        return False
def say(*what):
    print(json.dumps(what))
"""


def said(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", HARNESS + code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_growth_is_bounded_and_the_bound_can_be_moved() -> None:
    code = """
fork = order(growth_bytes=50 * MIB)
assert confine(fork) is fork
say(allows(40 * MIB), allows(60 * MIB), threading.stack_size() // MIB)
memory = WorkerMemory(bounded=True)
memory.move_bound(500 * MIB)
say(allows(60 * MIB))
memory.estimate()
assert 0 <= memory.shared_bytes < own_memory().resident_bytes
memory.measure()
measured = memory.shared_bytes
memory.estimate()
assert memory.shared_bytes == measured, "an estimate takes the place of nothing better"
uss = psutil.Process().memory_full_info().uss
assert abs(own_private_bytes() - uss) < MIB, (own_private_bytes(), uss)
used = own_memory().resident_bytes - memory.shared_bytes
memory.move_bound(used + 100 * MIB)
say(allows(90 * MIB), allows(110 * MIB))
memory.move_bound(1)
say(allows(10 * MIB))
WorkerMemory(bounded=False).move_bound(500 * MIB)
memory.move_bound(0)
say(allows(10 * MIB))
"""
    assert said(code).split("\n") == ["[true, false, 2]", "[false]", "[true, false]", "[false]", "[false]"]


def test_open_files_are_bounded_for_good_and_never_above_the_hard_limit() -> None:
    code = """
resource.setrlimit(resource.RLIMIT_NOFILE, (500, 1000))
confine(order(open_files=4096))
say(resource.getrlimit(resource.RLIMIT_NOFILE))
confine(order(open_files=100))
say(resource.getrlimit(resource.RLIMIT_NOFILE))
limit_for_good(resource.RLIMIT_NOFILE, 5000)
say(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    assert said(code).split("\n") == ["[[1000, 1000]]", "[[100, 100]]", "[[100, 100]]"]


def test_no_file_of_a_bot_grows_beyond_its_bound_and_the_log_says_what_that_error_means(tmp_path: Path) -> None:
    code = f"""
import logging
from worker_bot.output import configure_logging
configure_logging(sys.stdout)
confine(order(file_bytes=MIB, mark=(2**60 + 1, 2**61 - 1)))
try:
    try:
        with open({str(tmp_path / "file")!r}, "wb") as file:
            file.write(bytes(2 * MIB))
    except OSError as fault:
        raise RuntimeError("no cache") from fault
except RuntimeError:
    logging.exception("it failed")
try:
    raise RuntimeError("of another kind")
except RuntimeError:
    logging.exception("it failed otherwise")
say(resource.getrlimit(resource.RLIMIT_FSIZE), resource.getrlimit(resource.RLIMIT_RSS))
"""
    text = said(code)
    assert (tmp_path / "file").stat().st_size == 1 << 20
    assert text.index("RuntimeError: no cache") < text.index("FLOTILLA_BOT_FILE_MB") < text.index("it failed otherwise")
    assert text.count("FLOTILLA_BOT_FILE_MB") == 1
    assert text.splitlines()[-1] == f"[[{1 << 20}, {1 << 20}], [{2**61 - 1}, {2**61 - 1}]]"


def test_cgroup_that_cannot_be_joined_is_told_and_does_not_end_the_worker(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    said(f"confine(order(cgroup={str(tmp_path)!r}))")
    assert (tmp_path / "cgroup.procs").read_text() == "0"
    command = [sys.executable, "-c", HARNESS + f"confine(order(cgroup={str(tmp_path / 'gone')!r}))"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "could not join its cgroup" in ended.stderr


def test_session_has_a_folder_that_is_its_owners_alone(tmp_path: Path) -> None:
    said(f"confine(order(session={str(tmp_path / 'bot' / 'session')!r}))")
    assert (tmp_path / "bot").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_folder_is_handed_over_once_and_its_links_are_not_followed(tmp_path: Path) -> None:
    folder, precious = tmp_path / "bot", tmp_path / "precious"
    (folder / "deep").mkdir(parents=True)
    (precious / "inner").mkdir(parents=True)
    files = [folder / "session", folder / "deep" / "file"]
    for file in files:
        file.touch()
    (folder / "deep" / "link").symlink_to(precious)
    _hand_over(folder, 310_001)
    assert {place.stat().st_uid for place in (folder, folder / "deep", *files)} == {310_001}
    assert {precious.stat().st_uid, (precious / "inner").stat().st_uid} == {0}
    (folder / "later").touch()
    _hand_over(folder, 310_001)
    assert (folder / "later").stat().st_uid == 0


def test_a_bot_has_a_home_and_a_place_for_what_it_makes_for_a_while(tmp_path: Path) -> None:
    code = f"""
import pathlib, tempfile
confine(order(folder={str(tmp_path / "kept")!r}, temporary={str(tmp_path / "while")!r}))
say(str(pathlib.Path.home()), tempfile.gettempdir(), os.environ["TMPDIR"])
"""
    home, temporary = tmp_path / "kept", tmp_path / "while"
    for _ in range(2):
        assert said(code) == json.dumps([str(home), str(temporary), str(temporary)])
    assert {folder.stat().st_mode & 0o777 for folder in (home, temporary)} == {0o700}


def test_a_place_that_somebody_else_has_taken_is_let_be(tmp_path: Path) -> None:
    wanted = tmp_path / "while"
    wanted.symlink_to(tmp_path)
    found = _make_temporary(str(wanted), os.geteuid())
    assert found != str(wanted)
    assert Path(found).stat().st_mode & 0o777 == 0o700
    assert _make_temporary(str(tmp_path / "nowhere" / "while"), os.geteuid()) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
@pytest.mark.parametrize("searches", [False, True])
def test_a_worker_of_its_own_user_keeps_no_right_but_the_one_to_read_that_it_was_given(
    tmp_path: Path, searches: bool
) -> None:
    code = f"""
confine(order(session={str(tmp_path / "run" / "session")!r}, uid=310_001, fleet_gid=310_000, searches={searches}))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
say(os.getuid(), *(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapAmb")))
"""
    tmp_path.chmod(0o755)
    right = 1 << 2 if searches else 0
    assert said(code) == json.dumps([310_001, right, right, right])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_a_walled_worker_that_stays_root_has_none_of_roots_rights(tmp_path: Path) -> None:
    try:
        version = landlock.abi()
    except OSError:
        pytest.skip("this kernel has no Landlock")
    code = f"""
from flotilla.protocol import Walls
from worker_bot.confinement import begin_walls
fork = order(session={str(tmp_path / "run" / "session")!r}, walls=Walls({version}, ({str(tmp_path)!r},)))
confine(fork, None, begin_walls(fork.bounds))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
say(os.getuid(), *(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")))
"""
    assert said(code) == json.dumps([0, 0, 0, 0, 0])
