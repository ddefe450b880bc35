"""cgroup v2 on a folder with the kernel's files in it: what is written and read. What the kernel does with it is not
tested here, for it needs a delegated cgroup with memory accounting.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.domain.policy import MIB
from flotilla.errors import SetupError
from flotilla.protocol import EXIT_OUT_OF_MEMORY
from supervisor.cgroups import Cgroups, find, pids_in
from supervisor.kernel_limits import CgroupLimits, DataLimits, NoLimits, kernel_limits

LIMIT = 160 * MIB
FILES = ("memory.max", "memory.oom.group", "memory.events", "cgroup.procs")


class Kernel(Cgroups):
    """A root whose children get the kernel's files, as a real one's do, and lose them as a real one's do."""

    def make(self, bot_id: str, generation: int, max_bytes: int) -> Path:
        folder = self.folder(bot_id, generation)
        folder.mkdir()
        for name in FILES:
            (folder / name).touch()
        return super().make(bot_id, generation, max_bytes)

    def empty(self, bot_id: str, generation: int) -> None:
        for name in FILES:
            (self.folder(bot_id, generation) / name).unlink()


def test_worker_gets_a_cgroup_that_ends_as_a_whole_above_its_bound(tmp_path: Path) -> None:
    limits = CgroupLimits(Kernel(tmp_path))
    folder = Path(limits.join("a", 1, LIMIT))
    assert (folder / "memory.max").read_text() == str(LIMIT)
    assert (folder / "memory.oom.group").read_text() == "1"
    limits.apply("a", 1, 2 * LIMIT)
    assert (folder / "memory.max").read_text() == str(2 * LIMIT)
    assert limits.growth_bytes(LIMIT) is None


@pytest.mark.parametrize(
    ("events", "exit_code", "expected"),
    [
        ("low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 1\n", -signal.SIGKILL, True),
        ("oom_kill 1\n", None, True),
        ("oom_kill 1\n", 1, False),  # a child was killed, and the worker lived on
        ("max 9\noom_kill 0\n", -signal.SIGKILL, False),
        ("oom_kill\n", -signal.SIGKILL, False),
    ],
)
def test_kernels_own_count_tells_whether_it_killed_a_worker(
    tmp_path: Path, events: str, exit_code: int | None, *, expected: bool
) -> None:
    kernel = Kernel(tmp_path)
    limits = CgroupLimits(kernel)
    folder = Path(limits.join("a", 1, LIMIT))
    (folder / "memory.events").write_text(events)
    assert limits.ended("a", 1, exit_code) is expected


def test_cgroup_goes_when_nobody_lives_in_it_any_more(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    limits = CgroupLimits(kernel)
    busy, idle = Path(limits.join("a", 1, LIMIT)), Path(limits.join("a", 2, LIMIT))
    kernel.empty("a", 2)
    limits.ended("a", 1, 0)
    assert busy.exists()
    limits.ended("a", 2, 0)
    assert not idle.exists()
    kernel.empty("a", 1)
    limits.ended("never there", 1, 0)
    assert not busy.exists()


def test_cgroups_that_a_supervisor_before_left_are_swept(tmp_path: Path) -> None:
    for name in ("bot-a.1", "bot-b.7", "programs"):
        (tmp_path / name).mkdir()
    (tmp_path / "bot-b.7" / "cgroup.procs").touch()
    Cgroups(tmp_path).sweep()
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["bot-b.7", "programs"]


def test_without_its_cgroup_a_worker_runs_all_the_same(tmp_path: Path) -> None:
    limits = CgroupLimits(Cgroups(tmp_path / "gone"))
    assert limits.join("a", 1, LIMIT) == ""
    limits.apply("a", 1, LIMIT)
    assert not limits.ended("a", 1, -signal.SIGKILL)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Yield a folder as /proc/self, for a program in /fleet/programs of a cgroup mount."""
    mount, proc = tmp_path / "mount", tmp_path / "proc"
    (mount / "fleet" / "programs").mkdir(parents=True)
    proc.mkdir()
    (mount / "fleet" / "cgroup.controllers").write_text("cpu memory pids\n")
    (mount / "fleet" / "cgroup.subtree_control").write_text("pids\n")
    (proc / "cgroup").write_text("1:name=systemd:/elsewhere\n0::/fleet/programs\n")
    (proc / "mountinfo").write_text(
        "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
        f"30 22 0:26 / {mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    return proc


def delegate(host: Path) -> Path:
    root = host.parent / "mount" / "fleet"
    try:
        os.setxattr(root, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system keeps no extended attributes")
    return root


def test_delegated_cgroup_is_found_and_memory_switched_on_in_it(host: Path) -> None:
    root = delegate(host)
    assert find(host) == root
    assert "+memory" in (root / "cgroup.subtree_control").read_text()


def test_cgroup_whose_memory_is_accounted_already_is_left_as_it_is(host: Path) -> None:
    root = delegate(host)
    (root / "cgroup.subtree_control").write_text("memory pids\n")
    assert find(host) == root
    assert (root / "cgroup.subtree_control").read_text() == "memory pids\n"


def test_cgroup_that_nobody_delegated_is_left_alone(host: Path) -> None:
    assert find(host) is None
    assert (host.parent / "mount" / "fleet" / "cgroup.subtree_control").read_text() == "pids\n"


def test_top_of_a_cgroup_namespace_is_ours_to_divide(host: Path) -> None:
    root = host.parent / "mount"
    (host / "cgroup").write_text("0::/programs\n")
    (root / "cgroup.controllers").write_text("memory\n")
    (root / "cgroup.subtree_control").write_text("\n")
    assert find(host) == root


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("proc/cgroup", "0::/\n"),
        ("proc/cgroup", "4:memory:/somewhere\n"),
        ("proc/mountinfo", "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"),
        ("proc/mountinfo", "nonsense\n"),
        ("mount/fleet/cgroup.controllers", "cpu\n"),
    ],
    ids=["beside other programs", "version 1", "not mounted", "unreadable", "no memory"],
)
def test_without_a_cgroup_of_our_own_there_is_none(host: Path, file: str, text: str) -> None:
    delegate(host)
    (host.parent / file).write_text(text)
    assert find(host) is None


def test_rlimit_counts_a_memory_error_as_reaching_it_and_no_signal_of_anybody() -> None:
    limits = DataLimits()
    assert 0 < (limits.growth_bytes(LIMIT) or 0) < LIMIT
    assert limits.ended("a", 1, EXIT_OUT_OF_MEMORY)
    assert not any(limits.ended("a", 1, -number) for number in (signal.SIGABRT, signal.SIGKILL))
    assert limits.join("a", 1, LIMIT) == ""
    limits.apply("a", 1, LIMIT)  # the worker sees to it itself


def test_what_the_host_can_do_is_chosen_and_what_it_cannot_is_a_sentence(host: Path) -> None:
    assert isinstance(kernel_limits("auto", host), DataLimits)
    with pytest.raises(SetupError, match="choose auto"):
        kernel_limits("cgroup", host)
    delegate(host)
    assert isinstance(kernel_limits("auto", host), CgroupLimits)
    assert isinstance(kernel_limits("rlimit", host), DataLimits)


def test_off_holds_nothing() -> None:
    limits = kernel_limits("off")
    assert isinstance(limits, NoLimits)
    assert limits.growth_bytes(LIMIT) is None
    assert not limits.ended("a", 1, EXIT_OUT_OF_MEMORY)


@pytest.fixture
def real_root() -> Iterator[Path]:
    """A cgroup of the kernel's own, where this user may make one. It needs no controller to end what is in it."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    root = Path(points[0], f"flotilla-test-{os.getpid()}") if points else None
    try:
        assert root is not None
        root.mkdir()
    except (AssertionError, OSError):
        pytest.skip("no cgroup v2 here in which this user may make one")
    yield root
    for folder in sorted(root.rglob("*/"), reverse=True):
        folder.rmdir()
    root.rmdir()


def test_all_that_is_in_a_workers_cgroup_is_found_and_killed_together(real_root: Path) -> None:
    cgroups = Cgroups(real_root)
    folder = cgroups.folder("a", 1)
    (folder / "below").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as one, subprocess.Popen(["sleep", "60"]) as other:
        (folder / "cgroup.procs").write_text(str(one.pid))
        (folder / "below" / "cgroup.procs").write_text(str(other.pid))
        assert pids_in(folder) == {one.pid, other.pid}
        assert CgroupLimits(cgroups).end("a", 1) == folder
        if not (folder / "cgroup.kill").exists():  # Linux before 5.14
            one.kill()
            other.kill()
        assert {one.wait(), other.wait()} == {-signal.SIGKILL}
    assert pids_in(folder) == set()
    assert pids_in(real_root / "gone") == set()
