"""`FleetStore` in memory. It passes the contract suite of the real one (tests/contract/test_fleet_store.py)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from flotilla.domain.bot_secrets import Encrypted
from flotilla.domain.bots import Bot, BotStatus, Transition
from flotilla.domain.diagnosis import EXITS_KEPT, Exit, Stacks
from flotilla.domain.happenings import CRITICAL_CODES, DISCORD_CODES, HAPPENINGS_KEPT, Happening
from flotilla.domain.heap import Heap
from flotilla.domain.vitals import HostVitals
from flotilla.errors import RetryError
from flotilla.ports import FleetRow


class MemoryFleetStore:
    """What a supervisor needs of a database. away: answer nothing, as a database that is gone."""

    def __init__(self) -> None:
        self.away = False
        self.bots: dict[str, Bot] = {}
        self.tokens: dict[str, bytes] = {}
        self.secrets: dict[str, dict[str, bytes]] = {}
        self.statuses: dict[str, BotStatus] = {}
        self.transitions: list[Transition] = []
        self.exits: dict[str, list[Exit]] = {}
        self.stacks: dict[str, Stacks] = {}
        self.heaps: dict[str, Heap] = {}
        self.happenings: dict[str | None, list[Happening]] = {}
        self.host_vitals = HostVitals()
        self.reports: dict[int, tuple[int, datetime, datetime]] = {}

    def put(self, bot: Bot, token_encrypted: bytes = b"") -> None:
        """Add a bot or replace what is wanted of it, as the API does."""
        self.bots[bot.id] = bot
        self.tokens.setdefault(bot.id, token_encrypted)

    def ask_removal(self, bot_id: str, now: datetime) -> None:
        """Ask for a bot's removal, as the API does."""
        self.bots[bot_id] = replace(self.bots[bot_id], deleted_at=now)

    async def fleet(self) -> list[FleetRow]:
        self._require_there()
        return [
            FleetRow(
                bot,
                self.statuses.get(bot.id, BotStatus(bot.id)),
                self.stacks[bot.id].epoch if bot.id in self.stacks else 0,
                self.heaps[bot.id].epoch if bot.id in self.heaps else 0,
            )
            for bot in self.bots.values()
        ]

    async def wanted(self) -> list[FleetRow]:
        return await self.fleet()

    async def credentials(self, bot_ids: Iterable[str]) -> dict[str, Encrypted]:
        self._require_there()
        return {
            bot_id: Encrypted(self.tokens[bot_id], self.secrets.get(bot_id, {}))
            for bot_id in bot_ids
            if bot_id in self.bots
        }

    async def save(self, statuses: Sequence[BotStatus], transitions: Sequence[Transition]) -> None:
        self._require_there()
        self.statuses.update({status.bot_id: status for status in statuses if status.bot_id in self.bots})
        self.transitions += [transition for transition in transitions if transition.bot_id in self.bots]

    async def record_exits(self, exits: Sequence[Exit]) -> None:
        self._require_there()
        for row in exits:
            if row.bot_id in self.bots:
                self.exits[row.bot_id] = [*self.exits.get(row.bot_id, []), row][-EXITS_KEPT:]

    async def record_stacks(self, stacks: Stacks) -> None:
        self._require_there()
        if stacks.bot_id in self.bots:
            self.stacks[stacks.bot_id] = stacks

    async def record_heap(self, heap: Heap) -> None:
        self._require_there()
        if heap.bot_id in self.bots:
            self.heaps[heap.bot_id] = heap

    async def record_happenings(self, events: Sequence[Happening]) -> None:
        self._require_there()
        for row in events:
            there = self.happenings.setdefault(row.bot_id, [])
            if (row.bot_id is None or row.bot_id in self.bots) and all(row.id != other.id for other in there):
                there.append(row)
                alike = [old for old in there if _group(old) == _group(row)]
                if len(alike) > HAPPENINGS_KEPT:
                    there.remove(alike[0])

    async def drop(self, bot_ids: Iterable[str]) -> None:
        self._require_there()
        for bot_id in bot_ids:
            bot = self.bots.get(bot_id)
            if bot is not None and bot.deleted_at is not None:
                del self.bots[bot_id], self.tokens[bot_id]
                self.statuses.pop(bot_id, None)
                self.exits.pop(bot_id, None)
                self.stacks.pop(bot_id, None)
                self.heaps.pop(bot_id, None)
                self.happenings.pop(bot_id, None)
                self.transitions = [row for row in self.transitions if row.bot_id != bot_id]

    async def seen(
        self, slot: int, pid: int, started_at: datetime, now: datetime, vitals: HostVitals | None = None
    ) -> None:
        self._require_there()
        self.host_vitals = vitals or HostVitals()
        self.reports[slot] = (pid, started_at, now)

    async def last_seen(self, slot: int) -> datetime | None:
        self._require_there()
        return self.reports[slot][2] if slot in self.reports else None

    def _require_there(self) -> None:
        if self.away:
            raise RetryError("The database does not answer.", code="database_unavailable")


def _group(row: Happening) -> tuple[bool, bool]:
    """Return what tells one kind of happenings from the others, of each of which so many are kept."""
    return row.code in DISCORD_CODES, row.code in CRITICAL_CODES
