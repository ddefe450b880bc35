"""The fleet as Prometheus metrics. What each means is in docs/metrics.md, which a test compares with this table."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from flotilla import __version__
from flotilla.db.bots import FleetCounts
from flotilla.db.supervisors import SupervisorSeen
from flotilla.domain.bots import BotView
from flotilla.domain.metrics import BOUNDS_MS, FleetMetrics, Histogram
from flotilla.domain.uptime import SILENT_AFTER
from flotilla.domain.worker import State

MAX_SLOT_AGE_S: Final = 120.0
"""Gauges of a supervisor that has not written for so long are left out; its counters stay as they were."""

_BOUNDS_S: Final = [*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf"]
_RATE_LIMITED: Final = "429 "


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is shown. live: None while the store is away. counts: None while the database is away.

    bots: those with lines of their own; unlisted: how many have none.
    """

    live: Sequence[FleetMetrics] | None
    counts: FleetCounts | None = None
    supervisors: Sequence[SupervisorSeen] = ()
    bots: Sequence[BotView] = ()
    unlisted: int = 0
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


class Exposition:
    """What `prometheus_client` asks for metrics."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families."""
        yield from _always(self._scene)
        if self._scene.live is not None:
            yield from _live(self._scene.live, self._scene.now)
        if self._scene.counts is not None:
            yield from _fleet(self._scene, self._scene.counts)
            yield from _bots(self._scene)


def render(scene: Scene, accept: str | None) -> tuple[bytes, str]:
    """Return the text and its content type, in the format that the scraper accepts."""
    encoder, content_type = choose_encoder(accept or "")
    return encoder(Exposition(scene)), content_type


def _always(scene: Scene) -> Iterator[Metric]:
    info = GaugeMetricFamily("flotilla_build_info", "1, with the version of Flotilla.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    up = scene.live is not None
    yield GaugeMetricFamily("flotilla_metrics_store_up", "Whether Valkey, which holds what bots count, answers.", up)
    yield GaugeMetricFamily("flotilla_database_up", "Whether the database answers.", scene.counts is not None)


def _live(live: Sequence[FleetMetrics], now: datetime) -> Iterator[Metric]:
    commands = CounterMetricFamily("flotilla_commands", "Interactions by outcome.", labels=["kind", "outcome"])
    for name, value in _summed(fleet.counts.commands for fleet in live):
        commands.add_metric(name.split(" "), value)
    yield commands
    events = CounterMetricFamily("flotilla_events", "Gateway events handed to bots.", labels=["type"])
    for name, value in _summed(fleet.counts.events for fleet in live):
        events.add_metric([name], value)
    yield events
    rest = CounterMetricFamily("flotilla_rest_requests", "Requests to Discord by how they ended.", labels=["outcome"])
    limited = CounterMetricFamily("flotilla_rest_rate_limited", "Answers with status 429.", labels=["scope"])
    for name, value in _summed(fleet.counts.rest for fleet in live):
        if name.startswith(_RATE_LIMITED):
            limited.add_metric([name.removeprefix(_RATE_LIMITED)], value)
        else:
            rest.add_metric([name.replace(" ", "_")], value)
    yield rest
    yield limited
    for metric, told, of in _HISTOGRAMS:
        family = HistogramMetricFamily(metric, told, labels=["kind"])
        for kind in sorted({kind for fleet in live for kind in of(fleet)}):
            _add(family, [kind], [of(fleet)[kind] for fleet in live if kind in of(fleet)])
        yield family
    lag = HistogramMetricFamily("flotilla_event_loop_lag_seconds", "How late event loops came to a heartbeat.")
    _add(lag, [], [fleet.counts.lag for fleet in live])
    yield lag
    fresh = [fleet for fleet in live if now.timestamp() - fleet.at < MAX_SLOT_AGE_S]
    cache = GaugeMetricFamily("flotilla_cache_entries", "What bots keep in memory of Discord's.", labels=["kind"])
    for name, value in _summed(fleet.cache for fleet in fresh):
        cache.add_metric([name], value)
    yield cache


_HISTOGRAMS: Final[tuple[tuple[str, str, Callable[[FleetMetrics], dict[str, Histogram]]], ...]] = (
    ("flotilla_first_response_seconds", "From an interaction's arrival to its first response.",
     lambda fleet: fleet.counts.first),
    ("flotilla_handling_seconds", "From an interaction's arrival to the end of the bot's code.",
     lambda fleet: fleet.counts.total),
)  # fmt: skip


def _fleet(scene: Scene, counts: FleetCounts) -> Iterator[Metric]:
    states = GaugeMetricFamily("flotilla_bots", "Bots by state.", labels=["state"])
    for state in State:
        states.add_metric([state.value], counts.by_state.get(state, 0))
    yield states
    yield GaugeMetricFamily("flotilla_bots_ready", "Bots whose gateway session is up.", counts.ready)
    yield GaugeMetricFamily("flotilla_bots_wanted", "Bots that should run.", counts.desired_running)
    yield GaugeMetricFamily("flotilla_bots_unlisted", "Bots without lines of their own here.", scene.unlisted)
    rows: tuple[tuple[str, str, Callable[[SupervisorSeen], float]], ...] = (
        ("flotilla_supervisor_up", "Whether it has reported lately.", lambda s: scene.now - s.seen_at < SILENT_AFTER),
        ("flotilla_supervisor_seen_timestamp_seconds", "When it reported last.", lambda s: s.seen_at.timestamp()),
        ("flotilla_invalid_requests", "Of its host's address in the last 10 minutes: 401, 403 and 429.",
         lambda s: s.vitals.invalid_requests_10m),
        ("flotilla_invalid_requests_limit", "How many of them get the address banned.",
         lambda s: s.vitals.invalid_requests_limit),
        ("flotilla_requests_braked", "1: requests are slowed; 2: only answers to interactions pass.",
         lambda s: {"none": 0, "slow": 1}.get(s.vitals.brake, 2)),
    )  # fmt: skip
    for name, told, value in rows:
        family = GaugeMetricFamily(name, told, labels=["slot"])
        for seen in scene.supervisors:
            family.add_metric([str(seen.slot)], value(seen))
        yield family


def _bots(scene: Scene) -> Iterator[Metric]:
    guilds = dict(itertools.chain.from_iterable(fleet.guilds.items() for fleet in scene.live or ()))
    rows: tuple[tuple[str, str, Callable[[BotView], float | None]], ...] = (
        ("flotilla_bot_ready", "Whether its gateway session is up.", lambda v: v.status.ready),
        ("flotilla_bot_generation", "Which incarnation runs.", lambda v: v.status.generation),
        ("flotilla_bot_failures", "Failed runs in a row.", lambda v: v.status.failures),
        ("flotilla_bot_memory_bytes", "USS of its process.", lambda v: v.status.memory_bytes),
        ("flotilla_bot_latency_seconds", "Round trip of the last gateway heartbeat.", _latency_s),
        ("flotilla_bot_guilds", "Guilds it is in.", lambda v: guilds.get(v.bot.id)),
        ("flotilla_bot_invalid_requests", "In the last 10 minutes: 401, 403 and 429.",
         lambda v: v.status.vitals.invalid_requests_10m),
        ("flotilla_bot_session_starts_left", "Of those that Discord allows in a day.",
         lambda v: v.status.vitals.session_starts_left),
    )  # fmt: skip
    if not scene.bots:
        return
    for name, told, value in rows:
        family = GaugeMetricFamily(name, told, labels=["bot"])
        for view in scene.bots:
            if (found := value(view)) is not None:
                family.add_metric([view.bot.name], found)
        yield family
    state = GaugeMetricFamily("flotilla_bot_state", "1, with the state it is in.", labels=["bot", "state"])
    for view in scene.bots:
        state.add_metric([view.bot.name, view.status.state.value], 1)
    yield state


def _latency_s(view: BotView) -> float | None:
    return None if view.status.latency_ms is None else view.status.latency_ms / 1000


def _summed(tables: Iterable[dict[str, int]]) -> list[tuple[str, int]]:
    summed: dict[str, int] = {}
    for table in tables:
        for name, value in table.items():
            summed[name] = summed.get(name, 0) + value
    return sorted(summed.items())


def _add(family: HistogramMetricFamily, labels: Sequence[str], histograms: Sequence[Histogram]) -> None:
    counts = [sum(column) for column in zip(*(each.counts for each in histograms), strict=True)]
    if counts:
        buckets = list(zip(_BOUNDS_S, itertools.accumulate(counts), strict=True))
        family.add_metric(labels, buckets, sum(each.sum_us for each in histograms) / 1_000_000)
