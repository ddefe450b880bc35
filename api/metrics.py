"""Metrics over HTTP: the fleet's for Prometheus, and one bot's as JSON."""

import asyncio
import contextlib
import time
from typing import Annotated, Final

from msgspec import Meta, Struct
from quart import Blueprint, Response, request
from quart_schema import document_response, hide, tag_blueprint

from api.auth import public, requires
from api.exposition import Scene, render
from api.services import Services
from api.wire import answer
from flotilla.db.keys import Role
from flotilla.domain.metrics import (
    BOUNDS_MS,
    BotMetrics,
    Counts,
    Histogram,
    plus,
    quantile_ms,
    since,
    together,
)
from flotilla.domain.operations import Selector
from flotilla.errors import FlotillaError, RetryError
from flotilla.valkey import AWAY

KEPT_S: Final = 1.0
"""However many scrape, the fleet is looked at once in this time."""

DATABASE_TIMEOUT_S: Final = 5.0
_FAILED: Final = frozenset({"failed", "unanswered", "late"})


class Durations(Struct, frozen=True):
    """How long something took, in milliseconds; null: it never happened."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> "Durations":
        """Return the answer for a histogram."""
        return cls(histogram.count, *(_rounded(quantile_ms(histogram, share)) for share in (0.5, 0.95, 0.99)))


class Recent(Struct, frozen=True):
    """What a bot did lately. first_response, handling: of commands, components and modals; not of autocomplete."""

    seconds: Annotated[float, Meta(description="How long ago this begins: 5 to 10 minutes, less for a new bot.")]
    commands_per_min: float | None
    error_share: Annotated[float, Meta(description="Of the interactions that failed, or were not answered.")] | None
    first_response: Durations
    handling: Durations
    loop_lag: Durations


class Buckets(Struct, frozen=True):
    """A histogram: how many took at most as long as each bound and longer than the one before; the last: longer."""

    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]
    sum_ms: float

    @classmethod
    def of(cls, histogram: Histogram) -> "Buckets":
        """Return the answer for a histogram."""
        return cls(BOUNDS_MS, histogram.counts, histogram.sum_us / 1000)


class Totals(Struct, frozen=True):
    """All since metrics were kept. commands: by kind and outcome; rest: by how requests ended."""

    commands: dict[str, int]
    events: dict[str, int]
    rest: dict[str, int]
    first_response: dict[str, Buckets]
    handling: dict[str, Buckets]
    loop_lag: Buckets

    @classmethod
    def of(cls, counts: Counts) -> "Totals":
        """Return the answer for counts."""
        first, handling = ({kind: Buckets.of(one) for kind, one in of.items()} for of in (counts.first, counts.total))
        return cls(counts.commands, counts.events, counts.rest, first, handling, Buckets.of(counts.lag))


class BotMetricsView(Struct, frozen=True):
    """What a bot counts of itself. age_s: since its last report; null, as recent and total: there was none."""

    bot_id: str
    age_s: float | None
    generation: int | None
    recent: Recent | None
    total: Totals | None
    cache: dict[str, int]

    @classmethod
    def of(cls, bot_id: str, row: BotMetrics | None, now: float) -> "BotMetricsView":
        """Return the answer for what is stored. now: Unix seconds."""
        if row is None:
            return cls(bot_id, None, None, None, None, {})
        total = plus(row.before, row.last)
        recent = _recent(since(total, row.mark), row.at - row.mark_at)
        return cls(bot_id, round(max(0.0, now - row.at), 1), row.generation, recent, Totals.of(total), row.cache)


def _recent(counts: Counts, seconds: float) -> Recent:
    used = sum(counts.commands.values())
    failed = sum(count for name, count in counts.commands.items() if name.split(" ")[1] in _FAILED)
    first, handling = (
        together({kind: one for kind, one in of.items() if kind != "autocomplete"})
        for of in (counts.first, counts.total)
    )
    return Recent(
        round(seconds, 1),
        round(used * 60 / seconds, 2) if seconds > 0 else None,
        round(failed / used, 4) if used else None,
        Durations.of(first),
        Durations.of(handling),
        Durations.of(counts.lag),
    )


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 2)


class MetricsRoutes:
    """The views of metrics."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looking = asyncio.Lock()
        self._seen: tuple[float, Scene] | None = None
        self._slots: tuple[int, ...] = (0,)

    def blueprint(self) -> Blueprint:
        """Return the routes. /metrics asks for a key only if that is set."""
        routes = Blueprint("metrics", __name__)

        async def show_fleet() -> Response:
            return await self._show_fleet()

        view = requires(Role.VIEWER)(show_fleet) if self._services.serving.metrics_need_key else public(show_fleet)
        routes.add_url_rule("/metrics", view_func=hide(view), methods=["GET"])
        routes.add_url_rule("/api/v1/bots/<bot_id>/metrics", view_func=self.show_bot, methods=["GET"])
        tag_blueprint(routes, ["metrics"])
        return routes

    async def _show_fleet(self) -> Response:
        scene = await self._scene()
        body, content_type = await asyncio.to_thread(render, scene, request.headers.get("Accept"))
        return Response(body, content_type=content_type)

    @requires(Role.VIEWER)
    @document_response(BotMetricsView)
    async def show_bot(self, bot_id: str) -> Response:
        """Show what a bot counts of itself, in all and lately."""
        await self._services.bots.get(bot_id)
        try:
            row = await self._services.metrics.bot(self._slots, bot_id)
        except AWAY as fault:
            raise RetryError("Valkey, where metrics are kept, does not answer.", code="metrics_unavailable") from fault
        return answer(BotMetricsView.of(bot_id, row, time.time()))

    async def _scene(self) -> Scene:
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] >= KEPT_S:
                self._seen = time.monotonic(), await self._look()
            return self._seen[1]

    async def _look(self) -> Scene:
        services, most = self._services, self._services.serving.metrics_per_bot
        counts, supervisors, bots = None, [], []
        with contextlib.suppress(FlotillaError, TimeoutError):
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                supervisors = await services.supervisors.all()
                self._slots = tuple(seen.slot for seen in supervisors) or (0,)
                counted = await services.bots.counts()
                if counted.total <= most:
                    bots = await services.bots.select(Selector(everything=True))
                counts = counted
        live = await services.metrics.fleets(self._slots)
        unlisted = max(0, counts.total - len(bots)) if counts is not None else 0
        return Scene(live, counts, supervisors, bots, unlisted)
