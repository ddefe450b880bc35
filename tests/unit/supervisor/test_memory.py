import asyncio
import os
import sys
from dataclasses import dataclass

import psutil
import pytest

from flotilla.domain.policy import MIB
from supervisor.memory import (
    DISPLAY_AT_REST_EVERY,
    DISPLAY_EVERY,
    FAR_INTERVAL_S,
    NEAR_INTERVAL_S,
    MemoryProbe,
    MemorySample,
    MemoryTarget,
    next_interval_s,
    sample_one,
)
from tests.stack import until

LIMIT = 512 * MIB


@dataclass
class Info:
    uss: int = 0


@dataclass
class Process:
    """A process whose page tables may be closed to us."""

    uss: int | None

    def memory_full_info(self) -> Info:
        if self.uss is None:
            raise psutil.AccessDenied
        return Info(uss=self.uss)


def target(shared_bytes: int = 0) -> MemoryTarget:
    return MemoryTarget("1", 42, LIMIT, shared_bytes)


def test_far_from_the_limit_the_cheap_figure_is_enough() -> None:
    sample = sample_one(Process(None), target(), 60 * MIB, display=False)
    assert (sample.used_bytes, sample.exact) == (60 * MIB, False)


def test_near_the_limit_every_sample_is_exact() -> None:
    sample = sample_one(Process(350 * MIB), target(), 400 * MIB, display=False)
    assert (sample.used_bytes, sample.exact) == (350 * MIB, True)


def test_without_root_the_workers_own_word_on_sharing_is_used() -> None:
    sample = sample_one(Process(None), target(shared_bytes=47 * MIB), 60 * MIB, display=True)
    assert (sample.used_bytes, sample.exact) == (13 * MIB, True)


def test_without_root_and_before_the_workers_word_rss_is_no_figure_to_show_but_one_to_act_on() -> None:
    quiet = sample_one(Process(None), target(), 60 * MIB, display=True)
    assert not quiet.exact
    leaking = sample_one(Process(None), target(), 600 * MIB, display=False)
    assert (leaking.used_bytes, leaking.exact) == (600 * MIB, True)


@pytest.mark.parametrize(("used", "interval"), [(100 * MIB, FAR_INTERVAL_S), (300 * MIB, NEAR_INTERVAL_S)])
def test_the_nearer_a_worker_is_the_sooner_is_the_next_look(used: int, interval: float) -> None:
    assert next_interval_s([MemorySample("1", 42, used, exact=False)], LIMIT) == interval


async def test_real_process_is_measured_and_a_gone_one_is_passed_over() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    try:
        targets = [MemoryTarget("here", child.pid, MIB), MemoryTarget("gone", gone.pid, MIB)]

        async def grown() -> list[MemorySample] | None:
            samples = await MemoryProbe().sample(targets)
            return samples if samples[0].used_bytes > MIB else None  # before its exec it shares all with us

        (sample,) = await until(grown, "the live one has memory of its own")
    finally:
        child.kill()
        await child.wait()
    assert sample.bot_id == "here"
    assert sample.exact
    assert sample.used_bytes < 100 * MIB


GROWING = """
import sys
print(flush=True)
grown = [sys.stdin.readline() and bytearray(b"x" * 64 * 1024 * 1024)]
print(flush=True)
sys.stdin.readline()
"""


async def test_at_rest_a_worker_is_measured_exactly_rarely_and_soon_when_it_has_grown() -> None:
    """Each exact look takes the kernel a millisecond: at one in ten, 500 workers at rest cost 5 % of a core."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", GROWING, stdin=pipe, stdout=pipe)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        await child.stdout.readline()
        probe, at_rest = MemoryProbe(), [MemoryTarget("bot", child.pid, LIMIT)]
        await probe.sample([MemoryTarget("bot", child.pid, LIMIT, measured=False)])
        looks = [(await probe.sample(at_rest))[0].exact for _ in range(DISPLAY_AT_REST_EVERY)]
        assert looks.count(True) == 1
        child.stdin.write(b"\n")
        await child.stdout.readline()
        grown = [(await probe.sample(at_rest))[0] for _ in range(DISPLAY_EVERY)]
        (exact,) = [sample for sample in grown if sample.exact]
        assert 64 * MIB < exact.used_bytes < 100 * MIB
    finally:
        child.kill()
        await child.wait()


async def test_a_process_that_has_ended_since_the_last_look_is_passed_over_and_let_go_of() -> None:
    child = await asyncio.create_subprocess_exec("sleep", "60")
    probe, targets = MemoryProbe(), [MemoryTarget("bot", child.pid, LIMIT)]
    try:
        before = len(os.listdir("/proc/self/fd"))
        assert await probe.sample(targets)
        assert len(os.listdir("/proc/self/fd")) == before + 1
    finally:
        child.kill()
        await child.wait()
    assert await probe.sample(targets) == []
    assert await probe.sample([]) == []
    assert len(os.listdir("/proc/self/fd")) == before
