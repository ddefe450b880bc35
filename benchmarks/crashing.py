"""A fleet whose bots crash right after READY: what of Discord's patience each of them spends."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import Contender, competing
from benchmarks.ours import Flotilla
from benchmarks.peers import Peer, Pm2, Setup, Supervisord
from benchmarks.report import OURS, Result, Target

EXTENSION = "benchmarks.extensions.crashing"
BOTS, SECONDS = 250, 600.0
PEERS_BOTS, PEERS_SECONDS = 5, 60.0
"""Cold processes that start again and again want a second of CPU each time; more of them would only queue."""

PEERS: tuple[type[Peer], ...] = (Pm2, Supervisord)
QUICK_BOTS, QUICK_SECONDS = 5, 5.0
LOOK_S = 5.0
TARGET_IDENTIFIES, TARGET_INVALID = 5, 1_000
WINDOW_S = 600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One fleet. identifies, resumes: of each bot. invalid: the most that Discord ever held against this host.

    states: what Flotilla says of its bots at the end.
    """

    seconds: float
    identifies: list[int]
    resumes: list[int]
    invalid: int
    states: Counter[str]


async def measure(contender: Contender, bots: int, seconds: float) -> Sample:
    """Let a fleet crash for `seconds` seconds from the start command on."""
    async with competing(contender, bots) as field:
        began, invalid = time.perf_counter(), 0
        await contender.start()
        while (left_s := seconds - (time.perf_counter() - began)) > 0:
            await asyncio.sleep(min(LOOK_S, left_s))
            invalid = max(invalid, await field.invalid_requests())
        facts = await field.applications()
        statuses = (await field.stack.statuses()).values()
        return Sample(
            time.perf_counter() - began,
            [application["identifies"] for application in facts],
            [application["resumes"] for application in facts],
            invalid,
            Counter(f"{status.state} {status.reason or ''}".strip() for status in statuses),
        )


async def run(bots: int, seconds: float, peers: Sequence[type[Peer]] = PEERS) -> Result:
    """Let ours crash for `seconds`, and a few bots of `peers` for a minute."""
    samples = {OURS: await measure(Flotilla(extensions=(EXTENSION,)), bots, seconds)}
    for peer in peers:
        samples[peer.name] = await measure(peer(Setup(extensions=(EXTENSION,))), PEERS_BOTS, PEERS_SECONDS)
    ours = samples[OURS]
    most = max(ours.identifies)
    return Result(
        title=f"crashing: {bots} bots that crash right after READY, {ours.seconds:.0f} s; IDENTIFYs, RESUMEs of each",
        columns=(
            "contender",
            "bots",
            "seconds",
            "IDENTIFYs",
            "most",
            "in 10 min",
            "RESUMEs",
            "invalid requests",
        ),
        rows=tuple(_row(name, sample) for name, sample in samples.items()),
        targets=(
            Target(f"≤ {TARGET_IDENTIFIES} IDENTIFYs each", f"{most} at most", most <= TARGET_IDENTIFIES),
            Target(f"≤ {TARGET_INVALID:,} invalid requests", str(ours.invalid), ours.invalid <= TARGET_INVALID),
        ),
        raw={
            name: {
                "seconds": sample.seconds,
                "identifies": sample.identifies,
                "resumes": sample.resumes,
                "invalid": sample.invalid,
                "states": dict(sample.states),
            }
            for name, sample in samples.items()
        },
    )


def _row(name: str, sample: Sample) -> tuple[str, ...]:
    mean = statistics.mean(sample.identifies)
    return (
        name,
        str(len(sample.identifies)),
        f"{sample.seconds:.0f}",
        f"{mean:.1f}",
        str(max(sample.identifies)),
        "" if name == OURS else f"{mean * WINDOW_S / sample.seconds:.0f}",  # ours backs off, so it has no rate
        f"{statistics.mean(sample.resumes):.1f}",
        str(sample.invalid),
    )
