"""Restarts in a row while users use commands: what is lost, what is handled twice, and how long anybody waits.

Twice: as Discord resumes sessions, and as it refuses each RESUME.
"""

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.field import open_field
from benchmarks.report import Result, Target, milliseconds, percentile
from flotilla.domain.bots import Desired
from tests.stack import Stack, until

USERS, PER_SECOND = 5, 10.0
"""Together 50 commands a second on one bot."""
TARGET_GAP_S = 0.1
TARGET_ANSWER_S = 3.0
"""Discord's own limit for a first response."""
_FOR_EVER_S = 3_600.0


@dataclass(frozen=True)
class _Run:
    restarts: int
    gaps_s: list[float]
    load: dict[str, Any]
    application: dict[str, Any]

    @property
    def lost(self) -> int:
        return int(self.load["timed_out"] + self.load["not_connected"])

    @property
    def twice(self) -> int:
        return int(self.application["answered_twice"])

    @property
    def identifies(self) -> int:
        return int(self.application["identifies"] - 1)

    @property
    def longest_ms(self) -> float:
        return float(self.load["elapsed_ms"]["max"])

    def row(self, what: str) -> tuple[str, ...]:
        """Return the run's row in the table."""
        gap = statistics.median(self.gaps_s), percentile(self.gaps_s, 99)
        told = (self.restarts, self.load["sent"], self.lost, self.twice, self.identifies, self.application["resumes"])
        answers = (f"{self.load['elapsed_ms']['p99']:.0f} ms", f"{self.longest_ms:.0f} ms")
        return (what, *map(str, told), *map(milliseconds, gap), *answers)


async def run(restarts: int, refused: int) -> Result:
    """Restart one bot `restarts` times under traffic, and another `refused` times while Discord refuses RESUMEs."""
    resumed, renewed = await _restarts(restarts, refuse=False), await _restarts(refused, refuse=True)
    median_s = statistics.median(resumed.gaps_s)
    return Result(
        f"warm: restarts of one bot, {USERS * PER_SECOND:g} commands a second",
        (
            "RESUME",
            "restarts",
            "commands",
            "lost",
            "twice",
            "IDENTIFYs",
            "resumes",
            "gap p50",
            "gap p99",
            "answer p99",
            "longest",
        ),
        (resumed.row("accepted"), renewed.row("refused")),
        (
            Target(
                "0 events lost, 0 handled twice, 0 IDENTIFYs",
                f"{resumed.lost} lost, {resumed.twice} handled twice, {resumed.identifies} IDENTIFYs",
                not (resumed.lost or resumed.twice or resumed.identifies),
            ),
            Target(f"median gap ≤ {milliseconds(TARGET_GAP_S)}", milliseconds(median_s), median_s <= TARGET_GAP_S),
            Target(
                "refused: 0 lost, 0 handled twice, 1 IDENTIFY a restart",
                f"{renewed.lost} lost, {renewed.twice} handled twice, {renewed.identifies} IDENTIFYs",
                not (renewed.lost or renewed.twice) and renewed.identifies == refused,
            ),
            Target(
                f"every answer < {milliseconds(TARGET_ANSWER_S)}",
                f"{max(resumed.longest_ms, renewed.longest_ms):.0f} ms",
                max(resumed.longest_ms, renewed.longest_ms) < TARGET_ANSWER_S * 1000,
            ),
        ),
        {
            "gaps_s": resumed.gaps_s,
            "load": resumed.load,
            "refused": {"gaps_s": renewed.gaps_s, "load": renewed.load},
        },
    )


async def _restarts(restarts: int, *, refuse: bool) -> _Run:
    async with open_field(1) as field:
        stack, bot = field.stack, field.bots[0]
        bot_id = await stack.add_bot(bot.name, token=bot.token)
        await stack.start_supervisor(FLOTILLA_POLL_INTERVAL_S="0.05")
        await stack.all_ready(1)
        if refuse:
            await stack.sandbox("POST", "/faults", kind="refuse_resume", spare=True)
        body = {"command": "ping", "users": USERS, "per_second": PER_SECOND, "seconds": _FOR_EVER_S}
        load = await stack.sandbox("POST", "/load", **body)
        gaps_s = [await _restart(stack, bot_id, bot.id, number) for number in range(1, restarts + 1)]
        await stack.sandbox("DELETE", f"/load/{load['id']}")
        ended = await until(lambda: _settled(stack, load["id"]), "the last commands are answered")
        told = await stack.sandbox("GET", f"/applications/{bot.id}")
    return _Run(restarts, gaps_s, ended, told)


async def _restart(stack: Stack, bot_id: str, application_id: str, number: int) -> float:
    """Restart, wait for the session, and return how long there was no client of it."""
    await stack.bots.want(bot_id, Desired.RUNNING, again=True)

    async def up() -> dict[str, Any] | None:
        told = await stack.sandbox("GET", f"/applications/{application_id}")
        begun = told["resumes"] + told["identifies"] - 1
        return told if begun >= number and told["sessions_connected"] else None

    told = await until(up, f"restart {number}")
    await stack.observed(bot_id, lambda status: status.ready, "the bot is READY")
    return float(told["resume_gap_ms"] or 0) / 1000


async def _settled(stack: Stack, load_id: int) -> dict[str, Any] | None:
    load: dict[str, Any] = await stack.sandbox("GET", f"/load/{load_id}")
    return load if not load["pending"] else None
