"""A bot as operators see it: what is wanted of it (`Bot`) and what the supervisor observes (`BotStatus`)."""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from flotilla.domain.config import DEFAULT_CONFIG, BotConfig
from flotilla.domain.config_record import NO_OUTCOME, ConfigOutcome, Refusal
from flotilla.domain.policy import NO_OVERRIDES, Overrides
from flotilla.domain.vitals import NO_VITALS, Vitals
from flotilla.domain.worker import State
from flotilla.errors import FixInputError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
MAX_TAGS = 20


class Desired(enum.StrEnum):
    """What an operator wants of a bot."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Bot:
    """Desired state; written by the API and jobs.

    application_id: Discord's id of the bot's application, unique in the fleet: one process per token.
    desired_epoch: grows with every requested restart; the supervisor has done its duty when the status caught up.
    deleted_at: set when removal was asked for; the supervisor stops the bot and then removes the row.
    stacks_epoch: grows with every request for the stacks of its threads, heap_epoch with every request for its heap;
    heap_trace_s: seconds to trace allocations for it, as asked last.
    overrides: what it has of its own in place of the fleet's policy. config: how it is to be; config_version grows by
    one with each change of it, guilds_version with each change of one of its guilds' configs.
    commands_epoch: grows with every order to register its commands whatever was registered before.
    secret_names: of its own secrets, whose values only its worker gets.
    """

    id: str
    name: str
    application_id: str
    tags: tuple[str, ...]
    desired: Desired
    desired_epoch: int
    created_at: datetime
    deleted_at: datetime | None = None
    stacks_epoch: int = 0
    overrides: Overrides = NO_OVERRIDES
    heap_epoch: int = 0
    heap_trace_s: float = 0.0
    config: BotConfig = DEFAULT_CONFIG
    config_version: int = 0
    guilds_version: int = 0
    commands_epoch: int = 0
    secret_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BotStatus:
    """Observed state; written by the supervisor alone.

    epoch: the `desired_epoch` that the current incarnation was started for.
    process_started_at: the process's start time in clock ticks since boot: a process is pid *and* start time.
    secret_hash: SHA-256 of the secret with which this generation's worker proves itself.
    memory_bytes: USS of the last sample. latency_ms: the last gateway heartbeat's round trip.
    heartbeat_at: when its event loop last reported; stored every few seconds. Aware UTC.
    vitals: what its probes found last.
    fork_server: number of the fork server that made the process; the same number means the same code.
    failed_at: when its last failed runs ended (POSIX seconds), as far back as its policy's period goes.
    config_version: of the config that it runs with, or its last worker did; None: not known.
    """

    bot_id: str
    state: State = State.STOPPED
    ready: bool = False
    reason: str | None = None
    generation: int = 0
    epoch: int = 0
    failures: int = 0
    pid: int | None = None
    process_started_at: int | None = None
    secret_hash: bytes | None = None
    memory_bytes: int | None = None
    latency_ms: float | None = None
    since: datetime | None = None
    heartbeat_at: datetime | None = None
    vitals: Vitals = NO_VITALS
    fork_server: int | None = None
    failed_at: tuple[float, ...] = ()
    config_version: int | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One recorded change of what users of the bot would notice.

    at: aware UTC. expected: from here on the bot should be up, as `uptime.expected_after` says.
    """

    bot_id: str
    at: datetime
    state: State
    ready: bool
    generation: int
    reason: str | None
    expected: bool = True


@dataclass(frozen=True, slots=True)
class BotView:
    """A bot with its status, as pages show it. uptime_ratio_24h: in [0, 1], None when no time counts.

    outcome: what came of its configs.
    """

    bot: Bot
    status: BotStatus
    uptime_ratio_24h: float | None = field(default=None)
    outcome: ConfigOutcome = NO_OUTCOME

    @property
    def refused(self) -> Refusal | None:
        """Why the config that is wanted is not run with; None: it is, or has not been tried."""
        refused = self.outcome.refused
        return refused if refused is not None and refused.version == self.bot.config_version else None


def parse_name(name: str) -> str:
    """Return `name` if it can be a bot's name, else raise FixInputError (`name_invalid`)."""
    if not _NAME.fullmatch(name):
        raise FixInputError(
            "A name has 1 to 64 lower-case letters, digits, dots, underscores or hyphens, "
            "and begins and ends with a letter or digit.",
            code="name_invalid",
            name=name[:80],
        )
    return name


def parse_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags sorted, each once. Raises FixInputError (`tag_invalid`) for a malformed tag or too many."""
    unique = sorted(set(tags))
    if len(unique) > MAX_TAGS:
        raise FixInputError(f"A bot has at most {MAX_TAGS} tags.", code="tag_invalid")
    for tag in unique:
        if not _NAME.fullmatch(tag):
            raise FixInputError(f"The tag {tag[:80]!r} is not of the form of a name.", code="tag_invalid")
    return tuple(unique)
