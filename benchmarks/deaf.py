"""Sessions that get no events any more though their heartbeats are acknowledged: how soon they are healed."""

import asyncio
import statistics
import time
from dataclasses import dataclass

from benchmarks.field import Application, Field, open_field
from benchmarks.report import Result, Target
from tests.stack import until

TARGET_S = 90.0
TIMEOUT_S = 180.0
POLL_S = 0.05
QUICK = {"FLOTILLA_DELIVERY_QUIET_S": "2", "FLOTILLA_DELIVERY_ANSWER_S": "1"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What heals a session: so many session starts and resumes after it went deaf. Nothing is wrong with the last."""

    name: str
    heals_on: str | None
    starts: tuple[int, int]


_KINDS = (
    _Kind("healed by a resume", "resume", (1, 1)),
    _Kind("healed by a new session", "identify", (2, 1)),
    _Kind("quiet, nothing wrong", None, (1, 0)),
)


async def run(each: int, *, quick: bool) -> Result:
    """Make `each` bots of every kind deaf, right after an event, with the default settings unless `quick`."""
    async with open_field(each * len(_KINDS)) as field:
        for bot in field.bots:
            await field.stack.add_bot(bot.name, token=bot.token)
        await field.stack.start_supervisor(**(QUICK if quick else {}))
        await field.all_ready()
        groups = [(kind, field.bots[at * each : (at + 1) * each]) for at, kind in enumerate(_KINDS)]
        samples = await asyncio.gather(*(_heal(field, kind, bot) for kind, bots in groups[:-1] for bot in bots))
        alarms = sum([await _starts(field, bot) != groups[-1][0].starts for bot in groups[-1][1]])
    taken = {kind.name: samples[at * each : (at + 1) * each] for at, kind in enumerate(_KINDS[:-1])}
    slowest_s = max(samples)
    return Result(
        f"deaf: from the fault to a session that hears, {each} bots each",
        ("session", "median", "slowest"),
        tuple((name, f"{statistics.median(found):.1f} s", f"{max(found):.1f} s") for name, found in taken.items()),
        (
            Target(f"healed within {TARGET_S:g} s", f"{slowest_s:.1f} s", slowest_s <= TARGET_S),
            Target("a quiet bot is left alone", f"{alarms} of {each} were not", not alarms),
        ),
        {"healed_s": taken, "quick": quick},
    )


async def _heal(field: Field, kind: _Kind, bot: Application) -> float:
    """Return seconds from the fault until the session hears again, as Discord knows it."""
    stack = field.stack
    path = f"/applications/{bot.id}/interactions"
    await stack.sandbox("POST", path, command="ping", wait_ms=3000)  # the worst case: it has just heard something
    began = time.monotonic()
    await stack.sandbox("POST", "/faults", kind="deaf", heals_on=kind.heals_on, applications=[bot.id])

    async def healed() -> bool:
        await asyncio.sleep(POLL_S)
        return await _starts(field, bot) >= kind.starts

    await until(healed, f"{bot.name} hears again", TIMEOUT_S)
    healed_s = time.monotonic() - began
    answer = await stack.sandbox("POST", path, command="ping", wait_ms=3000)
    if answer["status"] != "answered":
        raise TimeoutError(f"{bot.name} did not answer after it was healed: {answer['status']}")
    return healed_s


async def _starts(field: Field, bot: Application) -> tuple[int, int]:
    facts = await field.stack.sandbox("GET", f"/applications/{bot.id}")
    return int(facts["identifies"]), int(facts["resumes"])
