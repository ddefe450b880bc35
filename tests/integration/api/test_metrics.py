"""Metrics over HTTP: read as Prometheus reads them, whatever is away."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import api as api_package
from api.app import create_app
from api.services import Serving
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.bots import BotStatus
from flotilla.domain.metrics import BOUNDS_MS, NOTHING, BotMetrics, Counts, FleetMetrics, Histogram, bucket
from flotilla.domain.vitals import HostVitals, Vitals
from flotilla.domain.worker import State
from tests.integration.api.conftest import Api

DOCUMENT = Path(api_package.__file__).parents[1] / "docs" / "metrics.md"


def took(*durations_ms: float) -> Histogram:
    found = [0] * (len(BOUNDS_MS) + 1)
    for ms in durations_ms:
        found[bucket(ms)] += 1
    return Histogram(tuple(found), round(sum(durations_ms) * 1000))


COUNTS = Counts(
    {"command answered": 5, "command failed": 1, "autocomplete answered": 2},
    {"MESSAGE_CREATE": 9},
    {"2xx": 7, "429 user": 3, "held back": 1},
    {"command": took(4, 4, 40, 400, 4_000, 100_000), "autocomplete": took(1, 1)},
    {"command": took(8)},
    took(0.5, 30),
)


async def scrape(api: Api, accept: str = "") -> dict[str, Metric]:
    response = await api.client.get("/metrics", headers={"Accept": accept} if accept else {})
    assert response.status_code == 200
    text = await response.get_data(as_text=True)
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, suffix: str = "") -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for sample in family.samples
        if sample.name == family.name + suffix or (not suffix and sample.name == f"{family.name}_total")
    }


@pytest.fixture
async def bot(api: Api) -> dict[str, Any]:
    """One that runs, under a supervisor that has just reported."""
    bot = await api.add_bot(1)
    vitals = Vitals(invalid_requests_10m=4, session_starts_left=990)
    status = BotStatus(
        bot["id"], State.RUNNING, ready=True, generation=3, memory_bytes=5_000, latency_ms=25.0, vitals=vitals
    )
    store = SqlFleetStore(api.services.database)
    await store.save([status], [])
    now = datetime.now(UTC)
    await store.seen(0, 7, now, now, HostVitals(12, "slow"))
    api.metrics.fleet = FleetMetrics(time.time(), COUNTS, {"guilds": 7, "roles": 9}, {bot["id"]: 7})
    return bot


async def test_the_fleet_is_shown_to_prometheus(api: Api, bot: dict[str, Any]) -> None:
    found = await scrape(api)
    assert values(found["flotilla_commands"]) == {
        ("command", "answered"): 5,
        ("command", "failed"): 1,
        ("autocomplete", "answered"): 2,
    }
    assert values(found["flotilla_events"]) == {("MESSAGE_CREATE",): 9}
    assert values(found["flotilla_rest_requests"]) == {("2xx",): 7, ("held_back",): 1}
    assert values(found["flotilla_rest_rate_limited"]) == {("user",): 3}
    first = found["flotilla_first_response_seconds"]
    buckets = values(first, "_bucket")
    assert (buckets["command", "0.005"], buckets["command", "0.5"], buckets["command", "+Inf"]) == (2, 4, 6)
    assert values(first, "_count") == {("command",): 6, ("autocomplete",): 2}
    assert values(first, "_sum")["command",] == pytest.approx(104.448)
    assert values(found["flotilla_event_loop_lag_seconds"], "_count") == {(): 2}
    assert values(found["flotilla_cache_entries"]) == {("guilds",): 7, ("roles",): 9}
    assert values(found["flotilla_bots"])["RUNNING",] == 1
    assert values(found["flotilla_supervisor_up"]) == {("0",): 1}
    assert values(found["flotilla_invalid_requests"]) == {("0",): 12}
    assert values(found["flotilla_requests_braked"]) == {("0",): 1}
    for name, value in (
        ("ready", 1), ("generation", 3), ("failures", 0), ("memory_bytes", 5_000), ("latency_seconds", 0.025),
        ("guilds", 7), ("invalid_requests", 4), ("session_starts_left", 990),
    ):  # fmt: skip
        assert values(found[f"flotilla_bot_{name}"]) == {("bot-0001",): value}
    assert values(found["flotilla_bot_state"]) == {("bot-0001", "RUNNING"): 1}
    assert bot["id"] not in str(found)
    openmetrics = await api.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert "openmetrics" in openmetrics.headers["Content-Type"]
    assert (await openmetrics.get_data(as_text=True)).endswith("# EOF\n")


async def test_every_metric_is_documented_and_no_other(api: Api, bot: dict[str, Any]) -> None:
    shown = {f"{name}_total" if family.type == "counter" else name for name, family in (await scrape(api)).items()}
    documented = set(re.findall(r"^\| `(flotilla_\w+)(?:\{.*?\})?` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert shown == documented


async def test_without_valkey_the_rest_is_shown(api: Api, bot: dict[str, Any]) -> None:
    api.metrics.away = True
    found = await scrape(api)
    assert values(found["flotilla_metrics_store_up"]) == {(): 0}
    assert values(found["flotilla_bots"])["RUNNING",] == 1
    assert values(found["flotilla_bot_guilds"]) == {}
    assert "flotilla_commands" not in found
    response = await api.call("GET", f"/api/v1/bots/{bot['id']}/metrics")
    await api.problem(response, 503, "metrics_unavailable")


async def test_without_the_database_what_bots_count_is_shown(api: Api, tmp_path: Path, bot: dict[str, Any]) -> None:
    gone = Database(f"sqlite:///{tmp_path}/no/such/folder.db")
    services = api.services
    away = replace(services, bots=type(services.bots)(gone), supervisors=type(services.supervisors)(gone))
    shown = Api(away, api.nudges, api.queue, api.keys, api.metrics)
    found = await scrape(shown)
    assert values(found["flotilla_database_up"]) == {(): 0}
    assert values(found["flotilla_commands"])["command", "failed"] == 1
    assert "flotilla_bots" not in found
    await gone.close()


async def test_of_many_bots_none_has_lines_of_its_own(api: Api, bot: dict[str, Any]) -> None:
    await api.add_bot(2)
    crowded = replace(api.services, serving=Serving(metrics_per_bot=1))
    found = await scrape(Api(crowded, api.nudges, api.queue, api.keys, api.metrics))
    assert values(found["flotilla_bots_unlisted"]) == {(): 2}
    assert not [name for name in found if name.startswith("flotilla_bot_")]


async def test_old_gauges_of_a_supervisor_that_is_gone_are_left_out(api: Api, bot: dict[str, Any]) -> None:
    api.metrics.fleet = FleetMetrics(time.time() - 1_000, COUNTS, {"guilds": 7})
    found = await scrape(api)
    assert values(found["flotilla_cache_entries"]) == {}
    assert values(found["flotilla_events"]) == {("MESSAGE_CREATE",): 9}


async def test_metrics_ask_for_a_key_if_that_is_set(api: Api) -> None:
    locked = replace(api.services, serving=Serving(metrics_need_key=True))
    shown = Api(locked, api.nudges, api.queue, api.keys, api.metrics)
    assert (await shown.call("GET", "/metrics", role=None)).status_code == 401
    assert (await shown.call("GET", "/metrics")).status_code == 200
    assert create_app(locked).url_map.bind("").match("/metrics")[0] == "metrics.show_fleet"


async def test_many_scrapes_look_once(api: Api, bot: dict[str, Any]) -> None:
    before = await scrape(api)
    api.metrics.away = True
    assert values((await scrape(api))["flotilla_metrics_store_up"]) == values(before["flotilla_metrics_store_up"])


async def test_a_bot_is_shown_in_all_and_lately(api: Api, bot: dict[str, Any]) -> None:
    path = f"/api/v1/bots/{bot['id']}/metrics"
    none = {"bot_id": bot["id"], "age_s": None, "generation": None, "recent": None, "total": None, "cache": {}}
    assert await api.get(path) == none
    now = time.time()
    before = Counts({"command answered": 3}, first={"command": took(4, 4)})
    api.metrics.bots[bot["id"]] = BotMetrics(3, now - 5, COUNTS, NOTHING, now - 305, before, {"guilds": 7})
    found = await api.get(path)
    assert 5 <= found["age_s"] < 30
    assert (found["generation"], found["cache"]) == (3, {"guilds": 7})
    recent = found["recent"]
    assert (recent["seconds"], recent["commands_per_min"], recent["error_share"]) == (300.0, 1.0, 0.2)
    assert recent["first_response"] == {"count": 4, "p50_ms": 500.0, "p95_ms": 60_000.0, "p99_ms": 60_000.0}
    assert recent["loop_lag"]["count"] == 2
    total = found["total"]
    assert total["commands"] == COUNTS.commands
    assert total["first_response"]["command"]["bounds_ms"] == list(BOUNDS_MS)
    assert sum(total["first_response"]["command"]["counts"]) == 6
    await api.problem(await api.call("GET", "/api/v1/bots/nobody/metrics"), 404, "bot_unknown")
