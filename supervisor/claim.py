"""Holds this installation's claim on its bots while the supervisor runs, and gives way to who has taken it over."""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import structlog

from flotilla.claiming import ClaimedError
from flotilla.domain.claims import BEAT_S, OBSERVE_S, Claim, Claimant, is_lost, is_same_place, lives, ousted
from flotilla.errors import RetryError
from flotilla.ports import ClaimStore
from flotilla.protocol import Refused, encode
from supervisor.storing import Storing

LET_GO_S = 0.5
"""At the end of the program; a claim that is not let go is taken by the next start of this home nevertheless."""

TURN_AWAY_S = 3.0
"""Workers that lost their supervisor look for the next one every 200 to 500 ms."""

log = structlog.get_logger()


class HeldClaim:
    """A claim that is ours. on_lost: called once when it is not any more; then the bots must stop, and `give_way`.

    on_epoch: told the epoch under which is written, now and whenever it changes.
    """

    def __init__(
        self,
        claims: ClaimStore,
        slot: int,
        mine: Claimant,
        held: Claim,
        on_lost: Callable[[], object],
        on_epoch: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._claims, self._slot, self._mine = claims, slot, mine
        self._epoch = held.epoch
        self._on_lost, self._on_epoch = on_lost, on_epoch
        self._unclear: tuple[Claim, float] | None = None
        self.lost_to: Claim | None = None
        self._beating = Storing("claim", self._beat)
        on_epoch(held.epoch)

    async def run(self) -> None:
        """Say that we live until cancelled or taken over from. While the database is away nobody can take over."""
        while self.lost_to is None:
            await self._beating.attempt()
            await asyncio.sleep(BEAT_S * random.uniform(0.8, 1.0))  # noqa: S311 - jitter
        self._on_lost()

    async def _beat(self) -> float:
        if not await self._claims.beat(self._slot, self._epoch):
            await self._look()
        return 0.0

    async def _look(self) -> None:
        """What holds is not what we took: a backup was restored, or somebody has taken over."""
        held = await self._claims.read(self._slot)
        if is_lost(self._mine, self._epoch, held):
            self._lose(held)
            return
        if held is not None and not held.released and not is_same_place(self._mine, held.holder):
            # Older than ours, so from a backup; its holder may live nevertheless.
            seen, since = self._unclear or (held, asyncio.get_running_loop().time())
            self._unclear = seen, since
            if lives(seen, held):
                self._lose(held)
                return
            if asyncio.get_running_loop().time() - since < OBSERVE_S:
                return
        self._unclear = None
        taken = await self._claims.take(self._slot, self._mine, over=held)
        if taken.holder == self._mine:
            log.warning("claim.taken_again", epoch=taken.epoch, before=self._epoch)
            await self._claims.yield_to(self._slot, taken.epoch)
            self._epoch = taken.epoch
            self._on_epoch(taken.epoch)

    def _lose(self, held: Claim | None) -> None:
        self.lost_to = held
        if held is not None:
            log.error("claim.lost", home=held.holder.home, hostname=held.holder.hostname, epoch=held.epoch)

    async def end(self, *, bots_stopped: bool) -> None:
        """Give way to who has taken over, or let go if no bot runs any more. Raises ClaimedError in the first case."""
        with contextlib.suppress(RetryError, TimeoutError):
            async with asyncio.timeout(LET_GO_S):
                if self.lost_to is not None:
                    await self._claims.yield_to(self._slot, self.lost_to.epoch)
                elif bots_stopped:
                    await self._claims.release(self._slot, self._epoch)
        if self.lost_to is not None:
            raise ClaimedError(ousted(self.lost_to))


async def turn_away(socket: Path, why: str) -> None:
    """End the workers that this home may still have: somebody else runs their bots now.

    They find the socket by themselves, and one that is refused ends.
    """
    turned_away = 0

    def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turned_away
        turned_away += 1
        writer.write(encode(Refused(why)))
        writer.close()

    try:
        os.unlink(socket)  # noqa: PTH108 - as below: at once, and of no length
    except FileNotFoundError:
        return  # none has ever been left behind
    server = await asyncio.start_unix_server(refuse, str(socket))
    await asyncio.sleep(TURN_AWAY_S)
    server.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket)  # noqa: PTH108
    if turned_away:
        log.warning("claim.turned_away", workers=turned_away)
