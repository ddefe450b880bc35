"""Bots that are RUNNING and not READY any more: told, and restarted warm when it lasts, unless it is Discord itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from flotilla.domain.unready import Loss, Then, is_outage
from flotilla.domain.worker import Renew, State
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.member import Member, is_wanted

LOOK_S: Final = 1.0
RENEWED_AT_ONCE: Final = 4
AGAIN_S: Final = 30.0
"""How long a restart waits that would be in vain: Discord does not answer, or no session start is left for it."""

log = structlog.get_logger()


class Unready:
    """Of all bots.

    affordable: whether a bot could begin a new session, should Discord refuse to resume. reachable: whether Discord
    answers this host.
    """

    def __init__(
        self,
        fleet: Fleet,
        chronicle: Chronicle,
        affordable: Callable[[Member], bool],
        reachable: Callable[[], Awaitable[bool]],
    ) -> None:
        self._fleet, self._chronicle = fleet, chronicle
        self._affordable, self._reachable = affordable, reachable
        self._losses: dict[str, Loss] = {}
        self._not_before = float("-inf")
        self._outage_told = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Do what is due now."""
        now = self._fleet.now()
        running = [member for member in self._fleet if member.worker.state is State.RUNNING]
        lost = [member for member in running if not member.worker.ready]
        self._settle(now)
        for member in lost:
            self._losses.setdefault(member.bot.id, Loss(now, now))
        if is_outage(len(lost), len(running)):
            self._sit_out(lost, len(running), now)
            return
        self._outage_told = False
        due = [member for member in lost if self._then(member, now) is Then.RENEW]
        if due and now >= self._not_before:
            await self._renew(due, now)

    def _settle(self, now: float) -> None:
        """Forget those that are READY again, and those that nobody waits for."""
        for bot_id, loss in list(self._losses.items()):
            member = self._fleet.get(bot_id)
            if member is not None and member.worker.ready and loss.told:
                lost_s, name = round(now - loss.since, 1), member.bot.name
                self._chronicle.note("gateway_back", bot_id, name, lost_s=lost_s, restarts=loss.renewals)
            given_up = member is None or not is_wanted(member.bot) or member.worker.state is State.FATAL
            if given_up or (member is not None and member.worker.ready):
                del self._losses[bot_id]

    def _sit_out(self, lost: list[Member], running: int, now: float) -> None:
        """Restart nobody while it is Discord, or the network; the time of each begins when that is over."""
        for member in lost:
            loss = self._losses[member.bot.id]
            loss.counts_from = now
            if not self._outage_told and loss.is_long(now, member.policy.reconnect_timeout_s):
                self._outage_told = True
                self._chronicle.note("gateway_outage", lost=len(lost), running=running)

    def _then(self, member: Member, now: float) -> Then:
        loss, timeout_s = self._losses[member.bot.id], member.policy.reconnect_timeout_s
        then = loss.then(now, timeout_s)
        if then is Then.TELL:
            loss.told = True
            lost_s, restart_in_s = round(now - loss.since, 1), round(timeout_s - (now - loss.counts_from), 1)
            self._chronicle.note(
                "gateway_lost", member.bot.id, member.bot.name, lost_s=lost_s, restart_in_s=restart_in_s
            )
        return then

    async def _renew(self, due: list[Member], now: float) -> None:
        can_pay = [member for member in due if self._affordable(member)]
        if not can_pay or not await self._reachable():
            log.warning("worker.unready", bots=len(due), affordable=len(can_pay), again_in_s=AGAIN_S)
            self._not_before = now + AGAIN_S
            return
        for member in can_pay[:RENEWED_AT_ONCE]:
            loss = self._losses.get(member.bot.id)
            if loss is None or member.worker.ready or member.worker.state is not State.RUNNING:
                continue
            loss.renewals += 1
            loss.counts_from = now
            log.warning("worker.renewed_unready", bot=member.bot.name, lost_s=round(now - loss.since, 1))
            self._fleet.apply(member, Renew(member.worker.generation, "gateway_lost"))
