"""What a bot may ask its supervisor about itself, and what it is told. Pure."""

import msgspec


class BotAbout(msgspec.Struct, frozen=True):
    """How a bot is, as its supervisor knows it. since_s: seconds since `state` and readiness changed last.

    failures: runs in a row that failed. memory_limit_bytes: what it is held to. version: of Flotilla's supervisor.
    """

    name: str
    state: str
    ready: bool
    generation: int
    since_s: float | None
    memory_bytes: int | None
    memory_limit_bytes: int
    latency_ms: float | None
    failures: int
    reason: str | None
    version: str


class BotUptimes(msgspec.Struct, frozen=True):
    """Ratios in [0, 1] by window (`24h`, `7d`, `30d`), None where no time counts; since_s: it is connected so long."""

    ratios: dict[str, float | None]
    target: float
    since_s: float | None


class RestartAsked(msgspec.Struct, frozen=True):
    """A planned restart is asked for by the incarnation `generation`: asked for twice it happens once."""

    generation: int
