"""Answers what a bot asks about itself: how it is, how long it was up; and restarts it for its owners."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
import structlog

from flotilla import __version__
from flotilla.domain.about import BotAbout, BotUptimes, RestartAsked
from flotilla.domain.command_syncs import SyncReport
from flotilla.domain.worker import Renew, State
from flotilla.errors import ConflictError, FixInputError
from flotilla.ports import UptimeStore
from flotilla.protocol import Topic
from supervisor.answers import Answerer
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.member import Member

RELOAD_AFTER_S: Final = 0.3
"""A worker that is restarted takes no answer any more, and its bot wants to tell who asked."""

log = structlog.get_logger()
Model = TypeVar("Model")


class About:
    """Of all bots. looking: taken for each look into the database."""

    def __init__(self, uptimes: UptimeStore, fleet: Fleet, chronicle: Chronicle, looking: asyncio.Semaphore) -> None:
        self._uptimes, self._fleet, self._chronicle, self._looking = uptimes, fleet, chronicle, looking
        self._reloading: dict[str, asyncio.TimerHandle] = {}

    def topics(self) -> Mapping[Topic, Answerer]:
        """Return who answers what."""
        return {
            "status": self._status,
            "uptime": self._uptime,
            "restart": self._restart,
            "commands.synced": self._synced,
        }

    async def _status(self, member: Member, _body: bytes) -> bytes:
        worker, status = member.worker, member.status()
        shown = BotAbout(
            name=member.bot.name,
            state=worker.state.value,
            ready=worker.ready,
            generation=worker.generation,
            since_s=_age_s(member.since),
            memory_bytes=status.memory_bytes,
            memory_limit_bytes=member.policy.memory_limit_bytes,
            latency_ms=status.latency_ms,
            failures=worker.failures,
            reason=worker.reason,
            version=__version__,
        )
        return msgspec.json.encode(shown)

    async def _uptime(self, member: Member, _body: bytes) -> bytes:
        async with self._looking:
            report = await self._uptimes.report(member.bot.id, datetime.now(UTC))
        ratios = {name: window.ratio for name, window in report.windows.items()}
        since_s = _age_s(member.since) if member.worker.ready else None
        return msgspec.json.encode(BotUptimes(ratios, member.policy.uptime_target, since_s))

    async def _restart(self, member: Member, body: bytes) -> bytes:
        """Restart a bot warm, soon. One that has been restarted since it was asked for is not restarted again."""
        asked, bot_id = _decoded(body, RestartAsked), member.bot.id
        if asked.generation < member.worker.generation:
            return b""
        if bot_id in self._reloading or member.worker.state is not State.RUNNING:
            raise ConflictError("This bot is being started or restarted already.", code="restart_under_way")
        later = asyncio.get_running_loop().call_later
        self._reloading[bot_id] = later(RELOAD_AFTER_S, self._reload, member, asked.generation)
        return b""

    def _reload(self, member: Member, generation: int) -> None:
        del self._reloading[member.bot.id]
        log.info("bot.reloaded", bot=member.bot.name, generation=generation)
        self._fleet.apply(member, Renew(generation, "reloaded"))

    async def _synced(self, member: Member, body: bytes) -> bytes:
        report, bot = _decoded(body, SyncReport), member.bot
        for refusal in report.refused:
            self._chronicle.note(
                "commands_refused",
                bot.id,
                bot.name,
                distinct=refusal.scope,
                commands=list(refusal.commands),
                scope=refusal.scope,
                why=refusal.why,
            )
        if report.postponed:
            self._chronicle.note("commands_late", bot.id, bot.name, why=report.postponed)
        if report.lost:
            names = sorted(name[:100] for name in report.lost)
            self._chronicle.note("extension_lost", bot.id, bot.name, distinct=",".join(names), extensions=names)
        if report.registered is not None:
            self._chronicle.note("commands_registered", bot.id, bot.name, commands=report.registered)
        return b""


def _age_s(since: datetime | None) -> float | None:
    return None if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds())


def _decoded(body: bytes, model: type[Model]) -> Model:
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise FixInputError(f"The supervisor cannot read this question: {fault}") from None
