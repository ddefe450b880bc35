"""What workers find out about themselves, and what follows: it is shown, told, and a deaf worker is renewed."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from msgspec import structs

from flotilla.domain.worker import Renew
from flotilla.protocol import Probed
from supervisor.chronicle import Chronicle
from supervisor.journal import Journal
from supervisor.member import Member

RENEW_EVERY_S = 600.0
"""Shortest time between two renewals of one bot for deafness: what did not help will not help sooner."""

MANY = 5
"""If as many bots are deaf, and more than half of those READY, it is Discord that is silent: none is renewed."""

FEW_RESPONSES = 20
"""With fewer in five minutes one slow response would decide the 95th percentile."""

VOID_MS = 3000.0
"""When an interaction's token is void (Discord, Receiving and Responding): no target can be later."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Known:
    """Of one bot. rung: the last that was told, empty while it hears. silence_s: how long it had been deaf then."""

    rung: str = ""
    silence_s: float = 0.0
    slow: bool = False
    renewed_at: float = float("-inf")


class Findings:
    """Of all bots. renew: let a worker's lifecycle have `Renew`. fleet: all members."""

    def __init__(
        self,
        chronicle: Chronicle,
        journal: Journal,
        fleet: Iterable[Member],
        renew: Callable[[Member, Renew], None],
    ) -> None:
        self._chronicle = chronicle
        self._journal = journal
        self._fleet = fleet
        self._renew = renew
        self._known: dict[str, _Known] = {}

    def take(self, member: Member, generation: int, probed: Probed) -> None:
        """Take over what a worker of `generation` found."""
        if generation != member.worker.generation:
            return
        before = member.vitals
        known = self._known.get(member.bot.id)
        if known is None:  # it may have been deaf before this supervisor began
            known = self._known[member.bot.id] = _Known("unknown" if before.delivery == "deaf" else "")
        member.vitals = structs.replace(
            before,
            delivery=probed.delivery,
            quiet_s=probed.quiet_s,
            responses=probed.responses,
            response_p95_ms=probed.response_p95_ms,
        )
        self._judge_delivery(member, known, probed)
        self._judge_responses(member, known, probed)
        # Figures, and the questions of a quiet bot, are stored now and then with the rest.
        if probed.delivery != before.delivery and not {probed.delivery, before.delivery} <= {"ok", "probing"}:
            self._journal.put(member.status())

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._known.pop(bot_id, None)

    def _judge_delivery(self, member: Member, known: _Known, probed: Probed) -> None:
        bot = member.bot
        if probed.delivery == "deaf":
            known.silence_s = probed.quiet_s
            if probed.rung != known.rung:
                known.rung = probed.rung
                self._chronicle.note(
                    "deaf", bot.id, bot.name, distinct=probed.rung, rung=probed.rung, quiet_s=probed.quiet_s
                )
            if probed.rung == "renew":
                self._renew_deaf(member, known)
        elif probed.delivery == "ok" and known.rung:
            healed_by, known.rung = known.rung, ""
            self._chronicle.note("hearing", bot.id, bot.name, healed_by=healed_by, quiet_s=known.silence_s)

    def _renew_deaf(self, member: Member, known: _Known) -> None:
        now = time.monotonic()
        if now - known.renewed_at < RENEW_EVERY_S:
            return
        heard = [other.vitals.delivery for other in self._fleet if other.worker.ready]
        deaf = heard.count("deaf")
        if deaf >= MANY and deaf * 2 > len(heard):
            return
        known.renewed_at = now
        log.warning("worker.deaf", bot=member.bot.name, quiet_s=known.silence_s, deaf_bots=deaf)
        self._renew(member, Renew(member.worker.generation, "deaf"))

    def _judge_responses(self, member: Member, known: _Known, probed: Probed) -> None:
        bot, p95_ms = member.bot, probed.response_p95_ms
        if p95_ms is None or probed.responses < FEW_RESPONSES:
            return
        target_ms = min(member.policy.response_target_ms, VOID_MS)
        if p95_ms > target_ms and not known.slow:
            self._chronicle.note(
                "response_slow", bot.id, bot.name, p95_ms=p95_ms, responses=probed.responses, target_ms=target_ms
            )
        known.slow = p95_ms > target_ms
