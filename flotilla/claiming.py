"""Takes a claim, or refuses to start beside one that lives."""

import asyncio
import time
from collections.abc import Callable

from flotilla.domain.claims import OBSERVE_S, YIELD_S, Claim, Claimant, lives, refusal
from flotilla.errors import SetupError
from flotilla.ports import ClaimStore

LOOK_S = 0.25


class ClaimedError(SetupError):
    """Another installation runs the bots of this database."""

    code = "database_claimed"


async def acquire(
    claims: ClaimStore,
    slot: int,
    mine: Claimant,
    *,
    take_over: bool = False,
    say: Callable[[str], object] = lambda _: None,
    observe_s: float = OBSERVE_S,
    yield_s: float = YIELD_S,
) -> Claim:
    """Return our claim once we hold it and whoever held it before runs no bot any more.

    take_over: also from one who lives; it is waited for until it has stopped its bots, up to `yield_s`. say: told what
    is waited for. Raises ClaimedError, RetryError.
    """
    held = await claims.take(slot, mine)
    if held.holder != mine:
        say(f"Looking whether {held.holder.home} on {held.holder.hostname} still runs (up to {observe_s:.0f} s) …")
        held = await _from_another(claims, slot, mine, held, take_over=take_over, observe_s=observe_s)
    if not held.yielded:
        say(f"Waiting until the one before has stopped its bots (up to {yield_s:.0f} s) …")
        await _until_yielded(claims, slot, mine, held, yield_s)
    return held


async def _from_another(
    claims: ClaimStore, slot: int, mine: Claimant, seen: Claim, *, take_over: bool, observe_s: float
) -> Claim:
    deadline = time.monotonic() + observe_s
    while True:
        await asyncio.sleep(LOOK_S)
        held = await claims.read(slot)
        if held is not None and not held.released and lives(seen, held):
            if not take_over:
                raise ClaimedError(refusal(mine, held))
            taken = await claims.take(slot, mine, over=held)
            if taken.holder == mine:
                return taken
            seen = taken
        elif held is None or held.released or time.monotonic() >= deadline:
            # One that does not live has nothing to yield, so it is not waited for.
            taken = await claims.take(slot, mine, over=held)
            if taken.holder == mine:
                await claims.yield_to(slot, taken.epoch)
                return await claims.read(slot) or taken


async def _until_yielded(claims: ClaimStore, slot: int, mine: Claimant, held: Claim, yield_s: float) -> None:
    deadline = time.monotonic() + yield_s
    while time.monotonic() < deadline:
        found = await claims.read(slot)
        if found is None or found.epoch != held.epoch:
            raise ClaimedError(refusal(mine, found or held))
        if found.yielded:
            return
        await asyncio.sleep(LOOK_S)
    await claims.yield_to(slot, held.epoch)
