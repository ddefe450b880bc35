"""What is shown of running bots and of this supervisor, brought up to date now and then."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime

from msgspec import structs

from flotilla.domain.claims import SLOT
from flotilla.domain.vitals import HostVitals
from flotilla.ports import FleetStore
from supervisor.chronicle import Chronicle
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.forkservers import ForkServers
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.requests import Requests
from supervisor.sessions import Sessions
from supervisor.storing import Storing

SEEN_INTERVAL_S = 2.0
VITALS_INTERVAL_S = 5.0


class Shown:
    """Of all bots; and at once, of which something is set aside."""

    def __init__(
        self,
        store: FleetStore,
        fleet: Fleet,
        journal: Journal,
        sessions: Sessions,
        requests: Requests,
        forks: ForkServers,
        containment: Containment,
        chronicle: Chronicle,
    ) -> None:
        self._store, self._fleet, self._journal = store, fleet, journal
        self._sessions, self._requests, self._forks, self._containment = sessions, requests, forks, containment
        self._chronicle = chronicle
        self._started_at = datetime.now(UTC)
        self._life = Storing("supervisor", self._store_life)
        containment.changed = self._show_set_aside

    async def run(self) -> None:
        """Store memory and latency of running workers now and then, and that this supervisor lives."""
        last_vitals, now = float("-inf"), asyncio.get_running_loop().time
        while True:
            await self._life.attempt()
            if now() - last_vitals >= VITALS_INTERVAL_S:
                last_vitals = now()
                self._forks.ask()
                for member in self._fleet:
                    if member.process is not None:
                        self._containment.retry(member.bot, "status", self._show, member)
            await asyncio.sleep(SEEN_INTERVAL_S)

    async def _store_life(self) -> float:
        await self._store.seen(SLOT, os.getpid(), self._started_at, datetime.now(UTC), self._of_the_host())
        return 0.0

    def _show(self, member: Member) -> None:
        self._sessions.show(member)
        self._journal.put(member.status())

    def _show_set_aside(self, bot_id: str) -> None:
        told, member = self._containment.sentence(bot_id), self._fleet.get(bot_id)
        if member is not None:
            member.vitals = structs.replace(member.vitals, set_aside=told)
            self._journal.put(member.status())
        elif (status := self._fleet.stored(bot_id)) is not None:
            self._journal.put(replace(status, vitals=structs.replace(status.vitals, set_aside=told)))

    def _of_the_host(self) -> HostVitals:
        found = self._forks.show(self._requests.vitals())
        refused = self._chronicle.rows_refused
        return structs.replace(found, set_aside=self._containment.count(), rows_refused=refused)
