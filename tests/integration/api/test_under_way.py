"""Requests that are under way when the API stops, on uvicorn and a real socket."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn

from api.auth import public
from flotilla.db.keys import Role
from tests.builders import token_of
from tests.integration.api.conftest import Api

GRACE_S = 1


class Serving:
    """The application on a server. `stop` returns when the server has."""

    def __init__(self, api: Api) -> None:
        config = uvicorn.Config(
            api.app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=GRACE_S, access_log=False
        )
        self.server = uvicorn.Server(config)
        self.task = asyncio.create_task(self.server.serve())

    async def url(self) -> str:
        await until(lambda: self.server.started)
        host, port = self.server.servers[0].sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        self.server.should_exit = True
        await asyncio.wait_for(self.task, 30)


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[tuple[Serving, httpx.AsyncClient]]:
    held = Serving(api)
    headers = {"Authorization": f"Bearer {api.keys[Role.ADMIN]}"}
    async with httpx.AsyncClient(base_url=await held.url(), headers=headers, timeout=60, trust_env=False) as client:
        yield held, client
        await held.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)


async def assert_failed(asking: asyncio.Task[httpx.Response]) -> None:
    """Its connection is cut, or uvicorn still said that it failed."""
    (outcome,) = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(outcome, httpx.HTTPError) or outcome.status_code == 500  # type: ignore[union-attr]


def tasks_but(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - before


async def test_request_goes_on_no_longer_when_its_server_has_stopped(api: Api) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @public
    async def endless() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # what it tidies up is waited for
            ended.set()
        return ""

    api.app.add_url_rule("/endless", view_func=endless)
    async with serving(api) as (held, client):
        asking = asyncio.create_task(client.get("/endless"))
        await asyncio.wait_for(begun.wait(), 30)
        await held.stop()
        assert ended.is_set()
        await assert_failed(asking)


async def test_request_that_ends_within_the_grace_is_answered(api: Api) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @public
    async def short() -> str:
        begun.set()
        await may_end.wait()
        return "done"

    api.app.add_url_rule("/short", view_func=short)
    async with serving(api) as (held, client):
        asking = asyncio.create_task(client.get("/short"))
        await asyncio.wait_for(begun.wait(), 30)
        stopping = asyncio.create_task(held.stop())
        may_end.set()
        assert (await asking).text == "done"
        await stopping


async def test_request_that_waits_for_a_locked_database_writes_nothing_after_the_stop(api: Api, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "flotilla.db", isolation_level=None)
    async with serving(api) as (held, client):
        assert (await client.get("/healthz")).status_code == 200
        other.execute("BEGIN IMMEDIATE")
        before = asyncio.all_tasks()
        body = {"name": "late", "token": token_of(1)}
        asking = asyncio.create_task(client.post("/api/v1/bots", json=body))
        await until(lambda: bool(held.server.server_state.tasks))
        await held.stop()
        other.execute("ROLLBACK")
        await assert_failed(asking)
        assert not tasks_but(before | {asking})
    assert (await api.services.bots.counts()).total == 0
    other.close()
