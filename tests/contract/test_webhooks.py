"""Webhooks and their deliveries on SQLite and PostgreSQL."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from ulid import ULID

from flotilla.db import outbox
from flotilla.db import webhooks as module
from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.db.webhooks import LEASE_S, Attempt, Claimed, SqlWebhooks
from flotilla.domain.happenings import Happening, Source
from flotilla.domain.webhooks import KEPT, MAX_WEBHOOKS, PAUSE_AFTER, Delivery, DeliveryState, Webhook
from flotilla.errors import ConflictError, FixInputError, NotFoundError
from tests.builders import T0, a_bot

ONE, TWO = a_bot(1, tags=("shop",)), a_bot(2)
DAYS = timedelta(days=3)
WELL, ILL = Attempt(ok=True, status=204), Attempt(ok=False, status=500, error="answered with status 500")


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


def a_webhook(number: int = 1, **fields: Any) -> Webhook:
    return Webhook(f"{number:026d}", f"https://example.org/{number}", T0, **fields)


def happened(code: str, bot_id: str | None = ONE.id, second: float = 0) -> Happening:
    return Happening(str(ULID.from_datetime(at(second))), bot_id, at(second), code, {"n": 1})


class Case:
    """A database with two bots."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.webhooks = SqlWebhooks(database)
        self.happenings = SqlHappenings(database)

    async def add(self, number: int = 1, **fields: Any) -> Webhook:
        webhook = a_webhook(number, **fields)
        await self.webhooks.add(webhook, b"secret %d" % number)
        return webhook

    async def note(self, *events: Happening) -> None:
        await SqlFleetStore(self.database).record_happenings(events)

    async def deliveries(self, webhook: Webhook) -> Sequence[Delivery]:
        return (await self.webhooks.deliveries(webhook.id, 200, None)).items

    async def kinds(self, webhook: Webhook) -> list[str]:
        return sorted(delivery.kind for delivery in await self.deliveries(webhook))

    async def claim(self, second: float, each: int = 4, **busy: int) -> list[Claimed]:
        return await self.webhooks.claim(at(second), busy, each, 50)

    async def finish(self, claimed: Claimed, attempt: Attempt, second: float) -> None:
        await self.webhooks.finish(claimed, attempt, at(second), 0.0, DAYS)


@pytest.fixture
async def case(database: Database) -> Case:
    for bot in (ONE, TWO):
        await SqlBots(database).add(bot, b"")
    return Case(database)


async def test_what_happens_is_queued_for_those_who_want_it_and_once(case: Case) -> None:
    everything = await case.add(1)
    kinds = await case.add(2, kinds=("deaf", "quarantined"))
    tagged = await case.add(3, tags=("shop", "other"))
    of_two = await case.add(4, bots=(TWO.id,))
    off = await case.add(5, enabled=False)
    events = [happened("deaf"), happened("fatal", TWO.id, 1), happened("invalid_requests", None, 2)]
    events.append(happened("deaf", "gone", 3))
    for _ in range(2):  # a supervisor that was not told that they are stored
        await case.note(*events)
    assert await case.kinds(everything) == ["deaf", "fatal", "invalid_requests"]
    assert await case.kinds(kinds) == ["deaf"]
    assert await case.kinds(tagged) == ["deaf"]
    assert await case.kinds(of_two) == ["fatal"]
    assert await case.kinds(off) == []
    body = json.loads((await case.deliveries(of_two))[0].body)
    assert body["data"].pop("remedy")
    assert body == {
        "type": "fatal",
        "timestamp": "2026-01-02T03:04:06+00:00",
        "data": {
            "happening_id": events[1].id,
            "bot_id": TWO.id,
            "bot_name": TWO.name,
            "source": "flotilla",
            "severity": "critical",
            "title": "was given up",
            "detail": {"n": 1},
        },
    }


async def test_discords_and_flotillas_happenings_are_kept_apart(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "HAPPENINGS_KEPT", 3)
    await case.note(happened("deaf"), *(happened("session_resumed", second=second) for second in range(1, 9)))
    found = [view.happening.code for view in (await case.happenings.page(HappeningFilter(), 50, None)).items]
    assert found == ["session_resumed"] * 3 + ["deaf"]
    for wanted, count in (
        (HappeningFilter(source=Source.FLOTILLA), 1),
        (HappeningFilter(source=Source.DISCORD), 3),
        (HappeningFilter(since=at(7)), 2),
        (HappeningFilter(until=at(7)), 2),
    ):
        assert len((await case.happenings.page(wanted, 50, None)).items) == count


async def test_a_delivery_is_claimed_once_and_again_when_its_claim_ends(case: Case) -> None:
    await case.add()
    await case.note(happened("deaf"))
    both = await asyncio.gather(case.claim(1), case.claim(1))
    [claimed] = [each for claims in both for each in claims]
    assert (claimed.url, claimed.secret_encrypted) == ("https://example.org/1", b"secret 1")
    assert await case.claim(LEASE_S) == []
    [again] = await case.claim(1 + LEASE_S)
    assert (again.delivery.id, again.delivery.attempts) == (claimed.delivery.id, 1)
    await case.finish(again, WELL, 40)
    await case.finish(claimed, ILL, 41)  # the program that was thought dead
    [delivered] = await case.deliveries(a_webhook())
    assert (delivered.state, delivered.attempts, delivered.last_status) == (DeliveryState.DELIVERED, 2, 204)
    assert await case.claim(10_000) == []


async def test_no_receiver_takes_the_room_of_another(case: Case) -> None:
    crowded, other = await case.add(1), await case.add(2, kinds=("fatal",))
    await case.note(*(happened("deaf", second=second) for second in range(20)), happened("fatal", second=30))
    claims = await case.claim(60, each=3)
    assert sorted(each.delivery.webhook_id for each in claims) == [crowded.id] * 3 + [other.id]
    assert await case.claim(60, each=3, **{crowded.id: 3, other.id: 1}) == []
    assert len(await case.claim(60, each=3, **{crowded.id: 2})) == 1


async def test_a_failing_receiver_is_asked_less_and_less_and_then_switched_off(case: Case) -> None:
    webhook, watcher = await case.add(1, kinds=("deaf",)), await case.add(2, kinds=("webhook_disabled",))
    await case.note(*(happened("deaf", second=second / 100) for second in range(10)))
    second, pauses = 60.0, []
    while (await case.webhooks.get(webhook.id)).enabled:
        claims = [each for each in await case.claim(second) if each.delivery.webhook_id == webhook.id]
        failures = (await case.webhooks.get(webhook.id)).failures
        assert len(claims) <= (4 if failures < PAUSE_AFTER else 1)
        for claimed in claims:
            await case.finish(claimed, ILL, second)
        if claims:
            pauses.append(second)
        second += 1800
    assert second - 1800 >= DAYS.total_seconds()
    assert pauses[-1] - pauses[-2] > 1500, "the longest pause is between half an hour and an hour"
    found = await case.webhooks.get(webhook.id)
    assert (found.last_status, found.why_disabled) == (500, "It failed for 3 days: answered with status 500")
    assert {each.state for each in await case.deliveries(webhook)} == {DeliveryState.DROPPED}
    assert await case.kinds(watcher) == ["webhook_disabled"]
    await case.note(happened("deaf", second=second))
    assert len(await case.deliveries(webhook)) == 10, "nothing more is queued for it"
    changed = await case.webhooks.change(webhook.id, {"enabled": True})
    assert (changed.enabled, changed.failures, changed.why_disabled) == (True, 0, None)


async def test_success_ends_the_pause(case: Case) -> None:
    webhook = await case.add()
    await case.note(*(happened("deaf", second=second) for second in range(8)))
    for claimed in await case.claim(10, each=8):
        await case.finish(claimed, ILL, 10)
    assert (await case.webhooks.get(webhook.id)).retry_at is not None
    [claimed] = await case.claim(4000, each=8)
    await case.finish(claimed, WELL, 4000)
    found = await case.webhooks.get(webhook.id)
    assert (found.failures, found.failing_since, found.retry_at, found.last_status) == (0, None, None, 204)
    assert len(await case.claim(4000, each=8)) == 7


async def test_a_receiver_that_is_gone_is_switched_off_at_once(case: Case) -> None:
    webhook = await case.add()
    await case.note(happened("deaf"), happened("fatal"))
    first, _ = await case.claim(1)
    await case.finish(first, Attempt(ok=False, status=410, error="answered with status 410"), 2)
    found = await case.webhooks.get(webhook.id)
    assert (found.enabled, found.why_disabled) == (False, "Its receiver answered 410 Gone: it wants nothing any more.")
    assert await case.claim(1000) == []
    [view] = (await case.happenings.page(HappeningFilter(code="webhook_disabled"), 50, None)).items
    assert view.happening.detail["webhook_id"] == webhook.id


async def test_a_full_queue_takes_no_more_and_counts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_PENDING", 3)
    monkeypatch.setattr("flotilla.domain.webhooks.OF_ONE_BOT", 1.0)
    webhook = await case.add()
    await case.note(happened("deaf"), happened("fatal"))
    await case.note(happened("deaf"), happened("fatal"), happened("hearing"))
    assert len(await case.deliveries(webhook)) == 3
    assert (await case.webhooks.get(webhook.id)).dropped == 2


async def test_bot_that_floods_a_queue_leaves_places_to_others_and_to_what_is_critical(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_PENDING", 20)
    monkeypatch.setattr("flotilla.domain.webhooks.OF_ONE_BOT", 0.2)
    webhook = await case.add()
    for number in range(3):
        await case.note(*[happened("deaf", second=number) for _ in range(10)])
    assert await case.kinds(webhook) == ["deaf"] * 10, "while there are many places nobody is asked whose they are"
    await case.note(happened("deaf", TWO.id), happened("fatal"), happened("deaf"), happened("supervisor_stalled", None))
    assert sorted(await case.kinds(webhook))[10:] == ["deaf", "fatal", "supervisor_stalled"]
    assert (await case.webhooks.get(webhook.id)).dropped == 21
    await case.note(*[happened("fatal") for _ in range(10)])
    assert len(await case.deliveries(webhook)) == 20, "the queue is full then"


async def test_old_deliveries_are_forgotten_and_open_ones_stay(case: Case) -> None:
    webhook = await case.add()
    await case.note(happened("deaf"), happened("fatal"))
    first, _ = await case.claim(1)
    await case.finish(first, WELL, 2)
    for late, gone, left in ((timedelta(), 0, 2), (KEPT + timedelta(seconds=3), 1, 1), (3 * KEPT, 1, 0)):
        assert await case.webhooks.forget(T0 + late, 10) == gone
        assert len(await case.deliveries(webhook)) == left


async def test_webhooks_are_changed_listed_and_removed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await case.add(1, kinds=("deaf",), bots=(ONE.id,)), await case.add(2)
    page = await case.webhooks.page(1, None)
    assert (page.items, page.next_cursor is None) == ([one], False)
    assert (await case.webhooks.page(1, page.next_cursor)).items == [two]
    changed = await case.webhooks.change(one.id, {"kinds": (), "tags": ("shop",), "enabled": False})
    assert changed == replace(one, kinds=(), tags=("shop",), enabled=False) == await case.webhooks.get(one.id)
    await case.note(happened("deaf"))
    await case.webhooks.remove(two.id)
    gone: Any = (case.webhooks.get, case.webhooks.remove, lambda key: case.webhooks.change(key, {"enabled": False}))
    for call in (*gone, lambda key: case.webhooks.deliveries(key, 5, None)):
        with pytest.raises(NotFoundError):
            await call(two.id)
    with pytest.raises(FixInputError) as raised:
        await case.webhooks.change(one.id, {"bots": ("nobody",)})
    assert raised.value.code == "webhook_bot_unknown"
    monkeypatch.setattr(module, "MAX_WEBHOOKS", 1)
    with pytest.raises(ConflictError):
        await case.add(3)
    assert MAX_WEBHOOKS == 50


async def test_what_is_removed_while_it_is_attempted_stays_away(case: Case) -> None:
    webhook = await case.add()
    await case.note(happened("deaf"))
    [claimed] = await case.claim(1)
    await case.webhooks.remove(webhook.id)
    await case.finish(claimed, ILL, 2)
    assert await case.claim(1000) == []
