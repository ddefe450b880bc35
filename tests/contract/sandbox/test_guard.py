"""What users see of a bot that is slow, fails or says nothing, with the guard, lightbulb, hikari and the sandbox."""

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hikari.impl import event_manager_base, rest
from hikari.internal import data_binding

from flotilla.protocol import WorkerConfig, WorkerLimits
from sandbox.messages.rules import EPHEMERAL, LOADING
from tests.contract.sandbox.conftest import Sandbox
from tests.contract.sandbox.test_sessions import Run
from tests.extensions import slow
from worker_bot import callbacks, responses
from worker_bot.answering import Kind
from worker_bot.guard import InteractionGuard, Outcome
from worker_bot.probes import Probes
from worker_bot.seam import install

LIMITS = WorkerLimits(interaction_defer_after_ms=150)
LATE_MS = 400


@dataclass
class Scene:
    """A bot with the guard, and its users."""

    sandbox: Sandbox
    run: Run
    application_id: str
    token: str
    outcomes: list[Outcome] = field(default_factory=list)
    limits: WorkerLimits = LIMITS

    @property
    def whats(self) -> list[str]:
        return [outcome.what for outcome in self.outcomes]

    async def use(self, how: str, wait_ms: int = LATE_MS) -> dict[str, Any]:
        return await self._post("interactions", command="slow", options={"how": how, "wait_ms": wait_ms})

    async def plain(self, name: str) -> dict[str, Any]:
        body = {"name": name, "description": "Of a bot that was written for hikari alone."}
        await self.sandbox.rest("POST", f"/applications/{self.application_id}/commands", self.token, body)
        return await self._post("interactions", command=name)

    async def press(self, how: str) -> dict[str, Any]:
        shown = await self.use("buttons", 0)
        message = await self.sees(shown, "buttons")
        return await self._post("components", message_id=message["id"], custom_id=f"press:{how}")

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return dict(await self.sandbox.control("POST", f"/applications/{self.application_id}/{path}", body))

    async def report(self, used: dict[str, Any]) -> dict[str, Any]:
        return dict(
            await self.sandbox.control(
                "GET", f"/applications/{self.application_id}/interactions/{used['interaction_id']}"
            )
        )

    async def messages(self, used: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the user has before their eyes."""
        report = await self.report(used)
        return [message for message in (report["message"], *report["follow_ups"]) if message is not None]

    async def sees(self, used: dict[str, Any], content: str) -> dict[str, Any]:
        """Wait until the user sees a message with this in it, and return it; secrets are for nobody else."""
        found: dict[str, Any] = {}

        async def shown() -> bool:
            for message in await self.messages(used):
                assert "secret" not in message["content"] or message["flags"] & EPHEMERAL, message
                if content in message["content"] and content:
                    found.update(message)
            return bool(found)

        for _ in range(400):
            if await shown():
                return found
            await asyncio.sleep(0.01)
        pytest.fail(f"nobody saw {content!r}, but {await self.messages(used)}")

    async def ends_with(self, used: dict[str, Any], *contents: str) -> None:
        """Check that the user sees nothing else than this, and that the bot answered once."""
        assert [message["content"] for message in await self.messages(used)] == list(contents)
        state = await self.sandbox.control("GET", f"/applications/{self.application_id}")
        assert state["answered_twice"] == 0


@pytest.fixture
async def scene(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr("tests.contract.sandbox.test_sessions.WorkerConfig", _with_slow)
    application_id, token = await sandbox.application()
    run = Run(sandbox, token, tmp_path / "bot.session")
    scene = Scene(sandbox, run, application_id, token)
    guard = InteractionGuard(lambda: callbacks.Wire(run.bot.rest), lambda: scene.limits, heard=scene.outcomes.append)
    callbacks.install(guard)
    run.continuity.see = Probes(run.bot, guard).see
    run.bot.before_leaving = guard.finish
    slow.RAISED.clear()
    try:
        await run.until(lambda: bool(run.told))
        yield scene
    finally:
        await run.bot.close()
        run.task.cancel()
        await asyncio.wait({run.task})
        callbacks.install(None)
        responses.install(None)
        install(None)


def _with_slow(url: str, extensions: tuple[str, ...], *rest: Any, **more: Any) -> WorkerConfig:
    return WorkerConfig(url, (*extensions, "tests.extensions.slow"), *rest, **more)


def test_all_of_an_answer_passes_where_the_guard_listens() -> None:
    """hikari and lightbulb are pinned; a new release that has another way must not pass."""
    source = inspect.getsource(rest)
    assert source.count("POST_INTERACTION_RESPONSE.compile") == 4
    assert source.count("PATCH_INTERACTION_RESPONSE.compile") == 2
    assert source.count("_client_session.request(") == 1
    assert "self._invoke_callback(c, event)" in inspect.getsource(event_manager_base)
    assert set(data_binding.URLEncodedFormBuilder.__slots__) == {"_fields", "_resources"}
    assert rest.RESTClientImpl._request.__module__ == callbacks.__name__
    named = list(inspect.signature(callbacks._request).parameters)
    assert list(inspect.signature(rest.RESTClientImpl._request).parameters)[1] == named[1] == "compiled_route"


async def test_voice_message_stays_private(scene: Scene) -> None:
    used = await scene.use("voice")
    assert used["status"] == "deferred"
    for _ in range(300):
        messages = await scene.messages(used)
        if messages and messages[0]["attachments"]:
            break
        await asyncio.sleep(0.01)
    assert [(message["flags"] & (EPHEMERAL | LOADING), len(message["attachments"])) for message in messages] == [
        (EPHEMERAL, 1)
    ]


async def test_quick_answer_is_left_alone(scene: Scene) -> None:
    used = await scene.use("private", 0)
    assert used["status"] == "answered"
    await scene.sees(used, "secret")
    await scene.ends_with(used, "secret")
    assert scene.whats == []


async def test_slow_public_answer_fills_what_was_deferred(scene: Scene) -> None:
    used = await scene.use("public")
    assert used["status"] == "deferred"
    message = await scene.sees(used, "public")
    assert (message["flags"] & (EPHEMERAL | LOADING), message["embeds"][0]["title"]) == (0, "an embed")
    assert [file["filename"] for file in message["attachments"]] == ["a.txt"]
    await scene.ends_with(used, "public")
    assert scene.whats == ["deferred"]


async def test_slow_private_answer_is_never_public_and_private_from_the_start_the_next_time(scene: Scene) -> None:
    first = await scene.use("private")
    message = await scene.sees(first, "secret")
    assert [file["filename"] for file in message["attachments"]] == ["a.txt"]
    await scene.ends_with(first, "secret")
    assert scene.whats == ["deferred", "remade"]
    second = await scene.use("private")
    assert second["response"]["data"]["flags"] == EPHEMERAL
    await scene.sees(second, "secret")
    third = await scene.use("public")
    assert not (await scene.sees(third, "public"))["flags"] & EPHEMERAL
    await scene.ends_with(third, "public")
    assert scene.whats == ["deferred", "remade", "deferred", "deferred", "remade"]


@pytest.mark.parametrize(("how", "contents"), [
    ("defer_private", ["secret"]),
    ("defer_public", ["public"]),
    ("changing", ["secret two", "more"]),
    ("gone", ["public instead"]),
])  # fmt: skip
async def test_what_the_code_does_with_its_answer_later_reaches_that_answer(
    scene: Scene, how: str, contents: list[str]
) -> None:
    used = await scene.use(how)
    assert used["status"] == "deferred"
    await scene.sees(used, contents[-1])
    await scene.ends_with(used, *contents)


async def test_modal_that_comes_too_late_is_explained_to_user_and_code_and_awaited_longer_next_time(
    scene: Scene,
) -> None:
    used = await scene.use("modal")
    message = await scene.sees(used, "the form cannot be shown")
    assert message["flags"] & EPHEMERAL
    (raised,) = slow.RAISED
    assert "deferred" in str(raised)
    assert (await scene.use("modal"))["response"]["type"] == 9
    assert scene.whats == ["deferred", "no_modal"]


@pytest.mark.parametrize(("how", "contents"), [
    ("update", ["updated"]),
    ("message", ["buttons", "secret pressed twice"]),
    ("defer", ["buttons", "secret at last"]),
])  # fmt: skip
async def test_slow_component_is_acknowledged_and_answers_where_it_would_have(
    scene: Scene, how: str, contents: list[str]
) -> None:
    used = await scene.press(how)
    assert used["response"]["type"] == 6
    await scene.sees(used, contents[-1])
    await scene.ends_with(used, *contents)


async def test_failing_component_says_so_and_leaves_the_message_alone(scene: Scene) -> None:
    used = await scene.press("raise")
    assert (await scene.sees(used, "Sorry"))["flags"] & EPHEMERAL
    assert (await scene.messages(used))[0]["content"] == "buttons"


async def test_slow_submission_of_a_form_is_answered(scene: Scene) -> None:
    opened = await scene.use("modal", 0)
    used = await scene._post("modals", interaction_id=opened["interaction_id"], fields={"field": "text"})
    assert used["status"] == "deferred"
    await scene.sees(used, "secret form")
    await scene.ends_with(used, "secret form")


async def test_slow_autocomplete_ends_with_no_choices_and_quick_one_with_its_own(scene: Scene) -> None:
    async def complete(seconds: str) -> dict[str, Any]:
        options = {"how": "x", "word": seconds}
        return await scene._post("autocomplete", command="slow", focused="word", options=options)

    quick, late = await asyncio.gather(complete("0.3"), complete("2.7"))
    assert [choice["name"] for choice in quick["response"]["data"]["choices"]] == ["a", "b"]
    assert late["response"]["data"]["choices"] == []
    await asyncio.sleep(0.3)
    assert (await scene.sandbox.control("GET", f"/applications/{scene.application_id}"))["answered_twice"] == 0


@pytest.mark.parametrize(("how", "wait_ms", "contents"), [
    ("raising", 0, ["Sorry"]),
    ("raising", LATE_MS, ["Sorry"]),
    ("raising_deferred", 0, ["Sorry"]),
    ("raising_after", 0, ["public", "Sorry"]),
    ("raising_after", LATE_MS, ["public", "Sorry"]),
])  # fmt: skip
async def test_user_of_a_failing_command_alone_is_told_with_a_reference_that_the_log_has(
    scene: Scene, caplog: pytest.LogCaptureFixture, how: str, wait_ms: int, contents: list[str]
) -> None:
    used = await scene.use(how, wait_ms)
    message = await scene.sees(used, "Sorry")
    assert message["flags"] & (EPHEMERAL | LOADING) == EPHEMERAL
    shown = [each["content"] for each in await scene.messages(used)]
    assert [text[:5] for text in shown] == [text[:5] for text in contents]
    (reference,) = re.findall("`([A-Z2-7]{8})`", message["content"])
    (record,) = (record for record in caplog.records if reference in record.getMessage())
    assert "LookupError" in logging.Formatter().format(record)
    outcome = scene.outcomes[-1]
    assert (outcome.what, outcome.reference, outcome.error) == ("failed", reference, "LookupError")
    assert (outcome.kind, outcome.name) == (Kind.COMMAND, "slow")


async def test_failure_that_the_bots_own_code_answers_is_not_told_twice(scene: Scene) -> None:
    used = await scene.use("handled", 0)
    await scene.sees(used, "the author's own words")
    await asyncio.sleep(0.1)
    await scene.ends_with(used, "the author's own words")


async def test_command_that_says_nothing_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_bot.answering.LEFT_S", 0.3)
    used = await scene.use("silent", 0)
    assert used["status"] == "deferred"
    assert (await scene.sees(used, "not finished"))["flags"] & EPHEMERAL
    assert scene.whats == ["deferred", "unanswered"]


async def test_bot_written_for_hikari_is_answered_for(scene: Scene) -> None:
    used = await scene.plain("plain")
    assert used["status"] == "deferred"
    await scene.sees(used, "secret more")
    await scene.ends_with(used, "plain", "secret more")
    failed = await scene.plain("plain-raise")
    assert failed["status"] == "answered"
    assert (await scene.sees(failed, "Sorry"))["flags"] & EPHEMERAL


async def test_those_who_wait_are_told_of_a_restart(scene: Scene) -> None:
    early = await scene.use("public", 60_000)
    assert early["status"] == "deferred"
    await scene.run.bot.close()
    assert (await scene.sees(early, "restarted"))["flags"] & EPHEMERAL


async def test_guard_that_is_off_leaves_everything_as_it_is(scene: Scene) -> None:
    scene.limits = WorkerLimits(interaction_guard=False)
    assert (await scene.use("raising", 0))["status"] == "timed_out"
    assert scene.whats == []
