"""One load: so many users, each so many commands a second, spread over bots; who answered, and how fast.

It is stepped from outside: `step` sends what is due and never waits.
"""

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox import acting
from sandbox.interactions import acts
from sandbox.interactions.interactions import Interaction
from sandbox.interactions.options import ActError, Place
from sandbox.local_discord import LocalDiscord
from sandbox.world.applications import Application
from sandbox.world.objects import Json
from sandbox.world.users import User

_PERCENTILES = (50, 95, 99)
_OUTCOMES = ("answered", "deferred", "timed_out", "not_connected")


class State(StrEnum):
    """Whether a load goes on."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `per_second` is each user's rate; a command goes to a bot drawn from the seed."""

    command: str
    options: Json
    users: int
    per_second: float
    seconds: float
    seed: int

    @property
    def total(self) -> int:
        """How many commands are used in all."""
        return math.ceil(self.users * self.per_second * self.seconds)


@dataclass(slots=True)
class Target:
    """A bot, where its commands are used, and who uses them."""

    application: Application
    place: Place
    people: Sequence[User]


@dataclass(slots=True)
class Load:
    """A load under way. Times are Unix seconds of the sandbox's clock."""

    id: int
    plan: Plan
    discord: LocalDiscord
    targets: Sequence[Target]
    began_at: float
    state: State = State.RUNNING
    sent: int = 0
    ended_sending_at: float | None = None
    reason: str | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_OUTCOMES, 0))
    elapsed_ms: list[float] = field(default_factory=list)
    _pending: deque[Interaction] = field(default_factory=deque)
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the draw of bots and users."""
        self._draw = random.Random(self.plan.seed)  # noqa: S311 - a load is to be repeated, not secret

    def step(self, now: float) -> bool:
        """Send what is due and count what has timed out; return whether anything is still to come."""
        if self.state is State.RUNNING:
            rate = self.plan.users * self.plan.per_second
            due = min(self.plan.total, math.floor((now - self.began_at) * rate) + 1)
            self._use_due(due, now)
            if self.sent >= self.plan.total and self.ended_sending_at is None:
                self.ended_sending_at = now
        self._expire(now)
        if self.state is State.RUNNING and self.ended_sending_at is not None and not self._pending:
            self.state = State.DONE
        return bool(self.state is State.RUNNING or self._pending)

    def stop(self, now: float) -> None:
        """Send nothing more; answers to what was sent still count."""
        if self.state is State.RUNNING:
            self.state = State.STOPPED
            self.ended_sending_at = self.ended_sending_at or now

    def _use_due(self, due: int, now: float) -> None:
        try:
            while self.sent < due:
                self._use()
        except ActError as error:  # the command is gone, or a user was banned
            self.reason = str(error)
            self.stop(now)

    def _use(self) -> None:
        target = self.targets[self._draw.randrange(len(self.targets))]
        user = target.people[self._draw.randrange(len(target.people))]
        act = acts.use_command(target.application, target.place, user, self.plan.command, self.plan.options)
        interaction, reached = acting.perform(self.discord, target.application, user, target.place, act)
        self.sent += 1
        if not reached:
            self.counts["not_connected"] += 1
            return
        self._pending.append(interaction)
        interaction.on_response = lambda: self._answered(interaction)

    def _answered(self, interaction: Interaction) -> None:
        self.counts[interaction.status] += 1
        self.elapsed_ms.append(interaction.elapsed_ms or 0.0)

    def _expire(self, now: float) -> None:
        while self._pending:
            oldest = self._pending[0]
            if oldest.response is None:
                if now - oldest.opened_at <= self.discord.rules.initial_response_s:
                    return
                oldest.on_response = None
                self.counts["timed_out"] += 1
            self._pending.popleft()

    def as_json(self, now: float) -> Json:
        """Return how the load stands."""
        ended = self.began_at + self.plan.seconds if self.state is State.DONE else self.ended_sending_at or now
        lasted_s = ended - self.began_at
        answered = len(self.elapsed_ms)
        return {
            "id": self.id,
            "command": self.plan.command,
            "users": self.plan.users,
            "per_second": self.plan.per_second,
            "seconds": self.plan.seconds,
            "seed": self.plan.seed,
            "applications": len(self.targets),
            "state": self.state.value,
            "reason": self.reason,
            "total": self.plan.total,
            "sent": self.sent,
            **self.counts,
            "pending": self.sent - answered - self.counts["timed_out"] - self.counts["not_connected"],
            "elapsed_ms": _distribution(self.elapsed_ms),
            "dispatched_per_s": round(self.sent / lasted_s, 1) if lasted_s > 0 else None,
        }


def _distribution(values: list[float]) -> Json | None:
    """Return percentiles by nearest rank, and the largest value; None without values."""
    if not values:
        return None
    ranked = sorted(values)
    shown = {f"p{p}": ranked[math.ceil(len(ranked) * p / 100) - 1] for p in _PERCENTILES}
    return shown | {"max": ranked[-1]}
