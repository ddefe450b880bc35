import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flotilla.domain.policy import MIB
from supervisor.memory import AT_REST_EVERY_S, MOVED_EVERY_S, NEAR_EVERY_S, MemoryProbe, MemorySample, MemoryTarget

LIMIT = 512 * MIB
GROWING = """
import sys
print(flush=True)
grown = [sys.stdin.readline() and bytearray(b"x" * 64 * 1024 * 1024)]
print(flush=True)
sys.stdin.readline()
"""


class Child:
    """A real process that grows by 64 MiB when it is told to."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", GROWING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answer()

    def answer(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def grow(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def target(self, limit: int = LIMIT, shared: int = 0, *, measured: bool = True) -> MemoryTarget:
        return MemoryTarget("bot", self.process.pid, limit, int(limit * 0.9), shared, measured)


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.end()


def look(probe: MemoryProbe, target: MemoryTarget, at: float) -> MemorySample:
    (sample,) = probe.sample_now([target], at)
    return sample


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_first_look_is_exact_and_later_ones_are_estimated_from_it(child: Child) -> None:
    probe = MemoryProbe()
    first = look(probe, child.target(measured=False), 0)
    rss = psutil.Process(child.process.pid).memory_info().rss
    assert first.exact
    assert 0 < first.used_bytes < rss
    second = look(probe, child.target(), 1)
    assert not second.exact
    assert abs(second.used_bytes - first.used_bytes) < 2 * MIB, "what is shared was taken off"


def test_at_rest_a_worker_is_measured_exactly_rarely_and_soon_when_it_has_grown(child: Child) -> None:
    """Each exact look takes the kernel a millisecond: at one in ten seconds, 500 workers cost 5 % of a core."""
    probe = MemoryProbe()
    look(probe, child.target(measured=False), 0)
    looks = [look(probe, child.target(), at).exact for at in range(1, int(AT_REST_EVERY_S) + 1)]
    assert looks == [False] * (len(looks) - 1) + [True]
    child.grow()
    grown = [look(probe, child.target(), AT_REST_EVERY_S + after) for after in range(1, int(MOVED_EVERY_S) + 1)]
    assert [sample.exact for sample in grown] == [False] * (len(grown) - 1) + [True]
    assert all(64 * MIB < sample.used_bytes < 100 * MIB for sample in grown), "estimates see the growth at once"


def test_near_its_limit_a_worker_that_moves_is_measured_at_every_look_and_one_at_rest_every_second(
    child: Child,
) -> None:
    child.grow()
    probe = MemoryProbe()
    used = look(probe, child.target(), 0).used_bytes
    near = child.target(int(used / 0.85))
    assert look(probe, near, NEAR_EVERY_S).exact
    assert not look(probe, near, NEAR_EVERY_S * 1.5).exact
    assert look(probe, near, NEAR_EVERY_S * 2).exact


def test_estimate_above_the_limit_is_made_exact_at_once(child: Child) -> None:
    probe = MemoryProbe()
    limit = look(probe, child.target(), 0).used_bytes + 30 * MIB
    child.grow()
    sample = look(probe, child.target(limit), 0.001)
    assert sample.exact
    assert sample.used_bytes > limit


def test_without_root_the_workers_own_word_on_sharing_is_used(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_process: psutil.Process) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_full_info", refuse)
    rss = psutil.Process(child.process.pid).memory_info().rss
    probe = MemoryProbe()
    untold = look(probe, child.target(measured=False), 0)
    assert (untold.used_bytes, untold.exact) == (rss, False), "no figure to show"
    assert look(probe, child.target(rss - MIB), 1).exact, "but one to act on"
    told = look(probe, child.target(shared=MIB, measured=False), 2)
    assert (told.used_bytes, told.exact) == (rss - MIB, True)


def test_what_a_worker_has_just_said_is_as_good_as_a_look_at_its_page_tables(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def uss_bytes(process: psutil.Process) -> int:
        read.append(process.pid)
        return LIMIT // 2

    monkeypatch.setattr("supervisor.memory._uss_bytes", uss_bytes)
    rss = psutil.Process(child.process.pid).memory_info().rss
    probe = MemoryProbe()
    assert not look(probe, child.target(), 0).exact, "a worker that is not ready has no figure to show"
    told = look(probe, child.target(shared=MIB, measured=False), 1)
    assert (told.used_bytes, told.exact, read) == (rss - MIB, True, [])
    doubted = look(probe, child.target(limit=rss, shared=MIB, measured=False), 2)
    assert (doubted.exact, read) == (True, [child.process.pid]), "where it matters, nobody is taken at their word"


def test_process_that_has_ended_since_the_last_look_is_passed_over_and_let_go_of(child: Child) -> None:
    probe, before = MemoryProbe(), open_files()
    assert probe.sample_now([child.target()], 0)
    assert open_files() == before + 1
    child.process.kill()
    child.process.wait()
    assert probe.sample_now([child.target()], 1) == []
    assert open_files() == before
    assert probe.sample_now([child.target()], 2) == []


def test_pid_that_another_bot_has_now_is_measured_anew(child: Child) -> None:
    probe, before = MemoryProbe(), open_files()
    look(probe, child.target(measured=False), 0)
    other = MemoryTarget("other", child.process.pid, LIMIT, LIMIT, measured=False)
    assert look(probe, other, 1).exact
    assert open_files() == before + 1
    probe.keep_only(set())
    assert open_files() == before


async def test_passes_leave_the_event_loop_free(child: Child) -> None:
    sampling = asyncio.create_task(MemoryProbe().sample([child.target(measured=False)]))
    await asyncio.sleep(0)
    (sample,) = await sampling
    assert (sample.bot_id, sample.exact) == ("bot", True)
