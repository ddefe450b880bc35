"""Commands are registered when they differ and not at each start: lightbulb, hikari and the sandbox."""

import inspect
from pathlib import Path
from typing import Any

import hikari
import lightbulb
import pytest
from lightbulb import client as lightbulbs_client
from lightbulb.internal import sync as lightbulbs

from flotilla.domain.command_syncs import GLOBAL, SyncReport
from flotilla.protocol import RequestLimits
from tests.contract.sandbox.starts import Case
from tests.stack import until
from worker_bot import command_sync, rest
from worker_bot.requests import RequestGuard


def test_lightbulb_registers_where_flotilla_stands() -> None:
    """lightbulb is pinned; a new release that has another way must not pass."""
    assert "await sync.sync_application_commands(self)" in inspect.getsource(lightbulbs_client)
    assert lightbulbs.sync_application_commands.__module__ == command_sync.__name__
    assert "_created_commands" in inspect.getsource(lightbulbs_client)


async def test_nothing_is_asked_of_discord_while_the_commands_are_the_same(case: Case) -> None:
    first = await case.start()
    assert first[-1] == "PUT commands"
    await case.stop()
    assert await case.start() == []
    assert case.reports == []
    assert await case.names() == ["shop"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "store"}, {"permissions": hikari.Permissions.MANAGE_GUILD}, {"count": 2}, {"nsfw": True}],
)
async def test_any_difference_is_registered_permissions_too(case: Case, changes: dict[str, Any]) -> None:
    await case.start()
    await case.stop()
    assert "PUT commands" in await case.start(**changes)
    (found, *_) = [each for each in await case.commands() if not each["name"].startswith("more")]
    assert found["name"] == changes.get("name", "shop")
    assert found["default_member_permissions"] == (
        str(int(changes["permissions"])) if "permissions" in changes else None
    )
    assert found["nsfw"] == changes.get("nsfw", False)


async def test_a_servers_own_commands_are_registered_and_taken_away_there(case: Case) -> None:
    await case.start(guild=case.guild_id)
    assert (await case.names(), await case.names(case.guild_id)) == ([], ["shop"])
    await case.stop()
    assert await case.start(guild=case.guild_id) == []
    await case.stop()
    assert (await case.start()).count("PUT commands") == 2
    assert (await case.names(), await case.names(case.guild_id)) == (["shop"], [])


async def test_an_order_registers_what_somebody_changed_elsewhere_once(case: Case) -> None:
    await case.start()
    await case.sandbox.rest("PUT", f"/applications/{case.application_id}/commands", case.token, [])
    assert case.sync is not None
    case.requests.clear()
    case.sync.order(1)
    await until(lambda: case.reports == [SyncReport(1)], "it is registered again")
    assert await case.names() == ["shop"]
    await case.stop()
    assert await case.start(epoch=1) == []
    await case.stop()
    assert "PUT commands" in await case.start(epoch=2)


async def test_a_refused_command_is_named_and_the_bot_starts_with_the_old_ones(case: Case) -> None:
    await case.start()
    await case.stop()
    assert "PUT commands" in await case.start(name="NotThis")
    (refusal,) = case.reports[-1].refused
    assert (refusal.scope, refusal.commands) == (GLOBAL, ("NotThis",))
    assert "name" in refusal.why
    assert await case.names() == ["shop"]
    await case.stop()
    assert await case.start(name="NotThis") == []
    await case.stop()
    assert "PUT commands" in await case.start(name="NotThis", epoch=1)
    await case.stop()
    assert await case.start(epoch=1) != []
    assert await case.names() == ["shop"]


async def test_a_bot_whose_requests_are_held_back_starts_all_the_same(case: Case) -> None:
    guard = RequestGuard()
    guard.starting = False
    guard.obey(RequestLimits(quarantined=True))
    rest.install(guard)
    try:
        await case.start(first_s=0.05)
    finally:
        rest.install(None)
    assert case.reports[-1].postponed.startswith("RequestHeldBackError")
    assert not case.path.exists()
    assert not any(request.startswith("PUT") for request in case.requests)


async def test_a_days_creations_that_are_used_up_are_waited_for(case: Case) -> None:
    for more in ("a", "b"):
        await case.start(more=more, count=99)
        await case.stop()
    await case.start(first_s=0.05, more="c", count=99)
    assert "Max number of daily" in case.reports[-1].postponed
    assert "b-7" in await case.names()


async def test_commands_are_registered_once_discord_is_back(case: Case) -> None:
    fault = {"kind": "rest_down", "route": "PUT /applications/"}
    await case.sandbox.call("POST", "/sandbox/faults", fault)
    await case.start(first_s=0.05)
    assert await case.names() == []
    await case.sandbox.call("DELETE", "/sandbox/faults")
    await until(lambda: any(report.registered for report in case.reports), "it is registered")
    assert await case.names() == ["shop"]


async def test_a_refusal_that_may_be_cured_is_tried_with_the_next_start(case: Case) -> None:
    fault = {"kind": "rest_refused", "route": "PUT /applications/", "code": 50001}
    await case.sandbox.call("POST", "/sandbox/faults", fault)
    await case.start()
    (refusal,) = case.reports[-1].refused
    assert (refusal.commands, refusal.why) == ((), "ForbiddenError: Missing Access")
    await case.sandbox.call("DELETE", "/sandbox/faults")
    await case.stop()
    await case.start()
    assert await case.names() == ["shop"]


async def test_a_client_that_leaves_unknown_commands_alone_does_so(case: Case) -> None:
    await case.start(name="store")
    await case.stop()
    await case.start(name="shop", delete=False)
    assert await case.names() == ["shop", "store"]
    await case.stop()
    assert await case.start(name="shop", delete=False) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"application_id": "x"}', b"\xff\xfe", b'{"x": ' + b"[" * 100_000])
async def test_a_broken_record_means_to_register_again(case: Case, content: bytes) -> None:
    case.path.write_bytes(content)
    assert "PUT commands" in await case.start()
    await case.stop()
    assert await case.start() == []


async def test_a_record_that_cannot_be_written_keeps_no_bot_from_starting(case: Case, tmp_path: Path) -> None:
    case.path = tmp_path / "no" / "such" / "folder" / "commands.json"
    assert "PUT commands" in await case.start()
    assert await case.names() == ["shop"]


async def test_what_was_found_before_the_start_holds_while_the_commands_are_the_same(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[lightbulb.Client] = []
    find = command_sync._wanted

    async def counted(client: lightbulb.Client) -> Any:
        built.append(client)
        return await find(client)

    monkeypatch.setattr(command_sync, "_wanted", counted)
    assert "PUT commands" in await case.start(ahead="shop")
    assert await case.names() == ["shop"]
    assert len(built) == 1, "not again at the start"
    assert case.client.invokable_commands
    await case.stop()
    assert await case.start(ahead="shop") == []
    await case.stop()
    assert "PUT commands" in await case.start(ahead="shop", name="store")
    assert await case.names() == ["shop", "store"]
    await case.stop()
    assert "PUT commands" in await case.start(name="store"), "another client is another matter"
    assert await case.names() == ["store"]
