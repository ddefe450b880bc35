"""Restarts in a row while users use commands: what is lost, what is handled twice, and how long nobody is connected."""

import statistics
from typing import Any

from benchmarks.field import open_field
from benchmarks.report import Result, Target, milliseconds, percentile
from flotilla.domain.bots import Desired
from tests.stack import Stack, until

USERS, PER_SECOND = 5, 10.0
"""Together 50 commands a second on one bot."""
TARGET_GAP_S = 0.1
_FOR_EVER_S = 3_600.0


async def run(restarts: int) -> Result:
    """Restart one bot `restarts` times under traffic."""
    async with open_field(1) as field:
        stack, bot = field.stack, field.bots[0]
        bot_id = await stack.add_bot(bot.name, token=bot.token)
        await stack.start_supervisor(FLOTILLA_POLL_INTERVAL_S="0.05")
        await stack.all_ready(1)
        body = {"command": "ping", "users": USERS, "per_second": PER_SECOND, "seconds": _FOR_EVER_S}
        load = await stack.sandbox("POST", "/load", **body)
        gaps_s = [await _restart(stack, bot_id, bot.id, number) for number in range(1, restarts + 1)]
        await stack.sandbox("DELETE", f"/load/{load['id']}")
        ended = await until(lambda: _settled(stack, load["id"]), "the last commands are answered")
        told = await stack.sandbox("GET", f"/applications/{bot.id}")
    lost = ended["timed_out"] + ended["not_connected"]
    identifies, twice = told["identifies"] - 1, told["answered_twice"]
    median_s = statistics.median(gaps_s)
    return Result(
        f"warm: {restarts} restarts of one bot, {USERS * PER_SECOND:g} commands a second",
        (
            "restarts",
            "commands",
            "lost",
            "handled twice",
            "IDENTIFYs",
            "resumes",
            "gap median",
            "gap p99",
            "answer p99",
        ),
        (
            (
                str(restarts),
                str(ended["sent"]),
                str(lost),
                str(twice),
                str(identifies),
                str(told["resumes"]),
                milliseconds(median_s),
                milliseconds(percentile(gaps_s, 99)),
                f"{ended['elapsed_ms']['p99']:.0f} ms",
            ),
        ),
        (
            Target(
                "0 events lost, 0 handled twice, 0 IDENTIFYs",
                f"{lost} lost, {twice} handled twice, {identifies} IDENTIFYs",
                not (lost or twice or identifies),
            ),
            Target(f"median gap ≤ {milliseconds(TARGET_GAP_S)}", milliseconds(median_s), median_s <= TARGET_GAP_S),
        ),
        {"gaps_s": gaps_s, "load": ended},
    )


async def _restart(stack: Stack, bot_id: str, application_id: str, number: int) -> float:
    """Restart, wait for the resume, and return how long the session was without a client."""
    await stack.bots.want(bot_id, Desired.RUNNING, again=True)

    async def resumed() -> dict[str, Any] | None:
        told = await stack.sandbox("GET", f"/applications/{application_id}")
        begun = told["resumes"] + told["identifies"] - 1
        return told if begun >= number and told["sessions_connected"] else None

    told = await until(resumed, f"restart {number}")
    await stack.observed(bot_id, lambda status: status.ready, "the bot is READY")
    return float(told["resume_gap_ms"] or 0) / 1000


async def _settled(stack: Stack, load_id: int) -> dict[str, Any] | None:
    load: dict[str, Any] = await stack.sandbox("GET", f"/load/{load_id}")
    return load if not load["pending"] else None
