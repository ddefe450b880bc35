"""How long a user waits for an answer of a bot that works: Flotilla's, and one of plain lightbulb beside it.

Both are connected all the time, and users use their commands in turns, so both see the same machine.
"""

import asyncio
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.contenders import competing
from benchmarks.field import Application, Field
from benchmarks.ours import Flotilla
from benchmarks.processes import cpu_s
from benchmarks.report import Result, Target

PER_SECOND = 50
TURN_S = 2.0
TURNS = 30
SETTLE_S = 3.0
BREAK_S = 0.2
TIMEOUT_S = 60.0
TARGET_P50_MS, TARGET_P99_MS, TARGET_OVERHEAD = 8.0, 25.0, 0.10
OURS, PLAIN = "Flotilla worker", "plain lightbulb"


@dataclass
class Answers:
    """One bot's turns. Times in milliseconds as Discord sees them, from dispatch to callback. cpu_s: of each turn."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    worst_ms: float = 0.0
    cpu_s: list[float] = field(default_factory=list)
    sent: int = 0
    answered: int = 0

    seconds: float = TURN_S

    @property
    def cpu_ms(self) -> float:
        """CPU of one answer, the median of the turns."""
        return statistics.median(self.cpu_s) * 1000 / (PER_SECOND * self.seconds)


async def turn(field: Field, bot: Application, seconds: float, into: Answers, pid: int) -> None:
    """Let users use `/ping` of one bot."""
    before_s = cpu_s(pid)
    load = {"command": "ping", "users": PER_SECOND, "per_second": 1, "seconds": seconds, "applications": [bot.id]}
    async with field.client.post("/sandbox/load", json=load) as answer:
        answer.raise_for_status()
        number = (await answer.json())["id"]
    async with asyncio.timeout(seconds + TIMEOUT_S):
        while True:
            await asyncio.sleep(0.1)
            async with field.client.get(f"/sandbox/load/{number}") as answer:
                answer.raise_for_status()
                report = await answer.json()
            if report["state"] != "running" and not report["pending"]:
                break
    into.cpu_s.append(cpu_s(pid) - before_s)
    into.sent += report["sent"]
    into.answered += report["answered"]
    into.p50_ms.append(report["elapsed_ms"]["p50"])
    into.p99_ms.append(report["elapsed_ms"]["p99"])
    into.worst_ms = max(into.worst_ms, report["elapsed_ms"]["max"])


async def measure(turns: int, seconds: float) -> dict[str, Answers]:
    """Run the turns. The sandbox has the first core, both bots the last one."""
    cores = sorted(os.sched_getaffinity(0))
    async with competing(contender := Flotilla(bots=1), 2) as field:
        ours, plain = field.bots
        sandbox = next(program for program in field.stack.programs if program.name == "sandbox")
        os.sched_setaffinity(sandbox.pid, cores[:1])
        await contender.start()
        process = await _start_plain(field, plain)
        try:
            await field.all_ready()
            await asyncio.sleep(SETTLE_S)
            worker = contender.family().workers[ours.name]
            pids = {OURS: worker.pid, PLAIN: process.pid}
            for pid in pids.values():
                for thread in psutil.Process(pid).threads():
                    os.sched_setaffinity(thread.id, cores[-1:])
            bots = {OURS: ours, PLAIN: plain}
            found = {name: Answers(seconds=seconds) for name in bots}
            for number in range(turns):
                for name in (OURS, PLAIN) if number % 2 else (PLAIN, OURS):
                    await turn(field, bots[name], seconds, found[name], pids[name])
                    await asyncio.sleep(BREAK_S)
            return found
        finally:
            process.kill()
            await process.wait()


async def _start_plain(field: Field, bot: Application) -> asyncio.subprocess.Process:
    token = field.home / "plain.token"
    token.touch(0o600)
    token.write_text(bot.token)
    script = Path(__file__).with_name("plain_bot.py")
    return await asyncio.create_subprocess_exec(sys.executable, str(script), str(token), field.discord_url)


async def run(turns: int = TURNS, seconds: float = TURN_S) -> Result:
    """Compare."""
    found = await measure(turns, seconds)
    ours, plain = found[OURS], found[PLAIN]
    p50_ms, p99_ms = statistics.median(ours.p50_ms), statistics.median(ours.p99_ms)
    # Of two turns side by side, since the machine is not the same from one minute to the next.
    overhead = statistics.median(a / b for a, b in zip(ours.p50_ms, plain.p50_ms, strict=True)) - 1
    cpu = statistics.median(a / b for a, b in zip(ours.cpu_s, plain.cpu_s, strict=True)) - 1
    lost = sum(each.sent - each.answered for each in found.values())
    return Result(
        title=f"answer: {PER_SECOND} interactions a second, from dispatch to first response",
        columns=("bot", "answers", "p50", "p99", "worst", "CPU an answer"),
        rows=tuple(
            (
                name,
                f"{each.answered} of {each.sent}",
                f"{statistics.median(each.p50_ms):.2f} ms",
                f"{statistics.median(each.p99_ms):.2f} ms",
                f"{each.worst_ms:.1f} ms",
                f"{each.cpu_ms:.2f} ms",
            )
            for name, each in found.items()
        ),
        targets=(
            Target(f"p50 ≤ {TARGET_P50_MS:g} ms", f"{p50_ms:.2f} ms", p50_ms <= TARGET_P50_MS),
            Target(f"p99 ≤ {TARGET_P99_MS:g} ms", f"{p99_ms:.2f} ms", p99_ms <= TARGET_P99_MS),
            Target(
                f"p50 at most {TARGET_OVERHEAD:.0%} above plain lightbulb",
                f"{overhead:+.1%}, CPU {cpu:+.1%}",
                overhead <= TARGET_OVERHEAD,
            ),
            Target("every interaction answered", f"{lost} were not", lost == 0),
        ),
        raw={name: {"p50_ms": each.p50_ms, "p99_ms": each.p99_ms, "cpu_s": each.cpu_s} for name, each in found.items()},
    )
