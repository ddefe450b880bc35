"""Probes and the fleet's numbers."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from flotilla import __version__
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.bots import BotStatus
from flotilla.domain.vitals import ForkServerState, HostVitals
from flotilla.domain.worker import State
from flotilla.errors import RetryError
from tests.integration.api.conftest import JSON, Api


async def readiness(api: Api, status: int) -> JSON:
    response = await api.call("GET", "/readyz", role=None)
    assert response.status_code == status
    checks: JSON = await response.get_json()
    assert set(checks) == {"database", "valkey", "supervisor", "fork_server"}
    assert all(set(check) == {"ok", "detail", "needed"} for check in checks.values())
    return checks


async def report(api: Api, *, age_s: float, slot: int = 0) -> None:
    now = datetime.now(UTC)
    await SqlFleetStore(api.services.database).seen(slot, 77, now, now - timedelta(seconds=age_s))


async def test_live_process_says_so_whatever_is_away(api: Api) -> None:
    api.queue.away = True
    await api.services.database.close()
    response = await api.call("GET", "/healthz", role=None)
    assert (response.status_code, await response.get_json()) == (200, {"status": "ok"})


async def test_ready_when_all_is_there(api: Api) -> None:
    await report(api, age_s=0)
    checks = await readiness(api, 200)
    assert "slot 0, process 77" in checks["supervisor"]["detail"]


async def test_not_ready_without_valkey(api: Api) -> None:
    await report(api, age_s=0)
    api.queue.away = True
    checks = await readiness(api, 503)
    assert not checks["valkey"]["ok"]
    assert "does not answer" in checks["valkey"]["detail"]
    assert checks["database"]["ok"]
    assert checks["supervisor"]["ok"]


async def test_not_ready_before_any_supervisor_reported(api: Api) -> None:
    assert "python -m supervisor" in (await readiness(api, 503))["supervisor"]["detail"]


async def test_not_ready_when_the_supervisor_fell_silent(api: Api) -> None:
    await report(api, age_s=11)
    assert "seen 11 s ago" in (await readiness(api, 503))["supervisor"]["detail"]


async def test_not_ready_when_nothing_can_be_started(api: Api) -> None:
    now = datetime.now(UTC)
    vitals = HostVitals(fork_server=ForkServerState.SILENT, fork_server_pid=78, fork_server_silent_s=17)
    await SqlFleetStore(api.services.database).seen(0, 77, now, now, vitals)
    checks = await readiness(api, 503)
    assert "has not answered for 17 s" in checks["fork_server"]["detail"]
    assert "kill -9 78" in checks["fork_server"]["detail"]
    assert checks["supervisor"]["ok"]


async def test_a_slot_that_is_no_longer_used_does_not_matter(api: Api) -> None:
    await report(api, age_s=9000, slot=0)
    await report(api, age_s=1, slot=1)
    await readiness(api, 200)


async def test_not_ready_without_the_database(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Database) -> None:
        raise RetryError("The database does not answer.", code="database_unavailable")

    monkeypatch.setattr(Database, "read", away)
    checks = await readiness(api, 503)
    assert checks["database"] == {"ok": False, "detail": "The database does not answer.", "needed": True}
    assert checks["valkey"]["ok"]


async def test_check_that_hangs_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("api.health.CHECK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(api.queue, "ping", hang)
    checks = await readiness(api, 503)
    assert checks["valkey"]["detail"].startswith("no answer within 0.05 s. ")


async def test_check_that_breaks_is_told_without_internals(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise ZeroDivisionError("internal detail")

    monkeypatch.setattr(api.queue, "ping", broken)
    checks = await readiness(api, 503)
    assert not checks["valkey"]["ok"]
    assert "internal detail" not in checks["valkey"]["detail"]


async def test_status_counts_the_whole_fleet(api: Api) -> None:
    rows = [await api.add_bot(number) for number in range(3)]
    await api.add_bot(4, desired="stopped")
    statuses = [
        BotStatus(rows[0]["id"], State.RUNNING, ready=True),
        BotStatus(rows[1]["id"], State.RUNNING),
        BotStatus(rows[2]["id"], State.BACKOFF),
    ]
    await SqlFleetStore(api.services.database).save(statuses, [])
    await report(api, age_s=0)
    status = await api.get("/api/v1/status")
    assert status["bots"] == {"STOPPED": 1, "STARTING": 0, "RUNNING": 2, "BACKOFF": 1, "STOPPING": 0, "FATAL": 0}
    assert (status["ready"], status["total"], status["desired_running"]) == (1, 4, 3)
    assert status["version"] == __version__
    (supervisor,) = status["supervisors"]
    assert (supervisor["slot"], supervisor["pid"]) == (0, 77)
    assert set(supervisor) == {"slot", "pid", "seen_at", "vitals"}
    assert supervisor["vitals"] == msgspec.to_builtins(HostVitals())
