"""The jobs program delivers webhooks to a real receiver: whatever the receiver does, and whatever becomes of it."""

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from ulid import ULID

from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.tables import webhook_deliveries
from flotilla.db.webhooks import SqlWebhooks
from flotilla.domain.happenings import Happening
from flotilla.domain.webhooks import Delivery, DeliveryState, Webhook
from flotilla.secrets import TokenVault
from flotilla.settings import Settings
from jobs import webhooks as jobs_module
from jobs.webhooks import Deliveries, Sender
from tests.integration.jobs.conftest import Fleet, StartJobs
from tests.receiver import Receiver, receiving
from tests.stack import until

SECRET = f"whsec_{base64.b64encode(b'k' * 32).decode()}"


@dataclass
class Case:
    """A home's database and a receiver."""

    database: Database
    vault: TokenVault
    receiver: Receiver

    def __post_init__(self) -> None:
        self.webhooks = SqlWebhooks(self.database)

    async def add(self, url: str = "", **fields: Any) -> Webhook:
        webhook = Webhook(str(ULID()), url or self.receiver.url, datetime.now(UTC), **fields)
        await self.webhooks.add(webhook, self.vault.encrypt(SECRET))
        return webhook

    async def note(self, code: str = "invalid_requests", times: int = 1) -> None:
        now = datetime.now(UTC)
        events = [Happening(str(ULID()), None, now, code, {"n": number}) for number in range(times)]
        await SqlFleetStore(self.database).record_happenings(events)

    async def until(self, webhook: Webhook, condition: Callable[[list[Delivery]], object], what: str) -> list[Delivery]:
        async def look() -> list[Delivery] | None:
            found = list((await self.webhooks.deliveries(webhook.id, 200, None)).items)
            return found if condition(found) else None

        found: list[Delivery] = await until(look, what)
        return found

    async def delivered(self, webhook: Webhook, count: int = 1) -> list[Delivery]:
        def all_there(rows: list[Delivery]) -> bool:
            return sum(row.state is DeliveryState.DELIVERED for row in rows) == count

        return await self.until(webhook, all_there, f"{count} are delivered")

    async def attempted(self, webhook: Webhook) -> Webhook:
        async def look() -> Webhook | None:
            found = await self.webhooks.get(webhook.id)
            return found if found.last_at is not None else None

        found: Webhook = await until(look, "an attempt is stored")
        return found


@pytest.fixture
async def case(fleet: Fleet, home: Path) -> AsyncIterator[Case]:
    async with receiving() as receiver:
        yield Case(fleet.database, TokenVault(Settings(home=home).key_file), receiver)


@pytest.fixture
async def deliver(case: Case, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Begins to deliver, in this process."""
    monkeypatch.setattr(jobs_module, "POLL_S", 0.02)
    tasks: list[asyncio.Task[None]] = []

    async def run(*, allow_private: bool, give_up: timedelta) -> None:
        async with Sender(allow_private=allow_private) as sender:
            await Deliveries(case.webhooks, case.vault, sender, give_up).run()

    async def begin(*, allow_private: bool = True, give_up: timedelta = timedelta(days=3)) -> None:
        tasks.append(asyncio.create_task(run(allow_private=allow_private, give_up=give_up)))

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_program_delivers_without_valkey_and_what_it_had_begun_when_it_was_killed(
    case: Case, start: StartJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.receiver.wait_s = 60.0
    webhook = await case.add()
    await case.note()
    first = start(webhooks_allow_private="true")
    await until(lambda: case.receiver.got, "the first attempt is under way")
    first.send(signal.SIGKILL)
    first.exit_code()
    case.receiver.wait_s = 0.0
    await case.note("fatal")
    start(webhooks_allow_private="true")
    await case.delivered(webhook, 1)
    [begun] = [row for row in (await case.webhooks.deliveries(webhook.id, 9, None)).items if row.kind != "fatal"]
    assert (begun.state, begun.attempts) == (DeliveryState.PENDING, 1), "its claim still holds"
    await end_claim(case.database, begun.id)
    await case.delivered(webhook, 2)
    of_first = [message for message in case.receiver.got if message.id == begun.id]
    assert len(of_first) == 2
    contents = [message.verified(SECRET) for message in of_first]
    assert contents[0] == contents[1]
    assert contents[0]["type"] == "invalid_requests"


async def end_claim(database: Database, delivery_id: str) -> None:
    table = webhook_deliveries
    async with database.write() as connection:
        change = table.update().where(table.c.id == delivery_id).values(next_at=datetime.now(UTC))
        await connection.execute(change)


async def test_a_receiver_that_hangs_holds_up_nobody_else(
    case: Case, deliver: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "TIMEOUT_S", 0.5)
    case.receiver.wait_s = 60.0
    async with receiving() as quick:
        hangs, works = await case.add(), await case.add(quick.url)
        await case.note(times=20)
        await deliver()
        await case.delivered(works, 20)
        assert 1 <= quick.most <= 4
        assert case.receiver.most <= 4
        found = await case.attempted(hangs)
        assert (found.last_status, found.last_error) == (None, "no answer within 0.5 s")


@pytest.mark.parametrize(
    ("status", "location", "error"),
    [
        (500, "", "answered with status 500"),
        (302, "http://127.0.0.1:9/elsewhere", "answered with status 302 (redirects are not followed)"),
        (404, "", "answered with status 404"),
    ],
)
async def test_what_is_no_success_is_tried_again_later(
    case: Case, deliver: Callable[..., Awaitable[None]], status: int, location: str, error: str
) -> None:
    case.receiver.status, case.receiver.location = status, location
    webhook = await case.add()
    await case.note()
    await deliver()
    found = await case.attempted(webhook)
    assert (found.last_status, found.last_error, found.failures, found.enabled) == (status, error, 1, True)
    [row] = await case.until(webhook, lambda rows: rows[0].last_status, "it is stored")
    assert row.next_at is not None
    assert timedelta(seconds=1) < row.next_at - datetime.now(UTC) <= timedelta(seconds=5)
    case.receiver.status = 200
    await end_claim(case.database, row.id)
    await case.delivered(webhook)
    assert len({message.id for message in case.receiver.got}) == 1


async def test_a_receiver_that_is_gone_is_not_asked_again(case: Case, deliver: Callable[..., Awaitable[None]]) -> None:
    case.receiver.status = 410
    webhook = await case.add()
    await case.note()
    await deliver()
    [row] = await case.until(webhook, lambda rows: rows[0].state is DeliveryState.DROPPED, "it is dropped")
    assert (row.last_status, (await case.webhooks.get(webhook.id)).enabled) == (410, False)


async def test_a_receiver_that_is_down_gets_what_it_missed(case: Case, deliver: Callable[..., Awaitable[None]]) -> None:
    async with receiving() as other:
        port = int(other.url.split(":")[2].split("/")[0])
    webhook = await case.add(other.url)
    await case.note()
    await deliver()
    found = await case.attempted(webhook)
    assert found.last_status is None
    assert "Connect" in str(found.last_error)
    async with receiving(port) as back:
        [row] = (await case.webhooks.deliveries(webhook.id, 9, None)).items
        await end_claim(case.database, row.id)
        await case.delivered(webhook)
        assert [message.id for message in back.got] == [row.id]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_an_address_of_this_network_is_refused_when_the_connection_is_made(
    case: Case, deliver: Callable[..., Awaitable[None]], host: str
) -> None:
    webhook = await case.add(case.receiver.url.replace("127.0.0.1", host))  # as if the check of the text had failed
    await case.note()
    await deliver(allow_private=False)
    found = await case.attempted(webhook)
    assert "private network" in str(found.last_error)
    assert case.receiver.got == []


async def test_a_secret_that_cannot_be_read_is_told_and_the_program_goes_on(
    case: Case, deliver: Callable[..., Awaitable[None]]
) -> None:
    broken = Webhook(str(ULID()), case.receiver.url, datetime.now(UTC))
    await case.webhooks.add(broken, b"nonsense")
    works = await case.add()
    await case.note()
    await deliver()
    await case.delivered(works)
    assert "secret cannot be read" in str((await case.attempted(broken)).last_error)


async def test_a_database_that_is_away_costs_a_while(
    case: Case, deliver: Callable[..., Awaitable[None]], home: Path
) -> None:
    webhook = await case.add()
    await case.note()
    file = home / "flotilla.db"
    await case.database.close()
    away = file.with_name("away")
    await asyncio.to_thread(os.rename, file, away)
    await asyncio.to_thread(file.mkdir)
    with capture_logs() as logs:
        await deliver()
        await until(lambda: any(row["event"] == "webhooks.database_away" for row in logs), "that is noticed")
    assert case.receiver.got == []
    await asyncio.to_thread(file.rmdir)
    await asyncio.to_thread(os.rename, away, file)
    await case.database.close()  # in between, SQLite may have made an empty file, and hold on to it
    await case.delivered(webhook)
