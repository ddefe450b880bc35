"""The interaction guard in a real worker: set per bot while it runs, and true to those who wait when it is replaced."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flotilla.db.command_logs import CommandLogFilter, SqlCommandLogs
from flotilla.domain.bots import Desired
from flotilla.domain.command_logs import CommandLog, Outcome
from tests.stack import Stack, until

EPHEMERAL = 64


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = await Stack.create(
        tmp_path,
        poll_interval_s="0.1",
        extensions="worker_bot.extensions.core,tests.extensions.slow",
    )
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()


async def test_user_of_a_slow_command_is_deferred_told_of_a_restart_and_answered_by_the_next_worker(
    stack: Stack,
) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    path = f"/applications/{application['id']}"

    async def use(how: str, wait_ms: int) -> dict[str, Any]:
        options = {"how": how, "wait_ms": wait_ms}
        return dict(await stack.sandbox("POST", f"{path}/interactions", command="slow", options=options))

    async def shown(used: dict[str, Any], text: str) -> dict[str, Any]:
        async def looked() -> dict[str, Any] | None:
            report = await stack.sandbox("GET", f"{path}/interactions/{used['interaction_id']}")
            messages = [report["message"], *report["follow_ups"]]
            return next((each for each in messages if each and text in each["content"]), None)

        return dict(await until(looked, f"the user sees {text}"))

    await stack.bots.override(bot_id, {"interaction_defer_after_ms": 300})

    async def deferred() -> bool:
        return str((await use("public", 600))["status"]) == "deferred"

    await until(deferred, "the worker has heard of it")
    waiting = await use("private", 30_000)
    assert waiting["status"] == "deferred"
    await stack.bots.want(bot_id, Desired.RUNNING, again=True)
    assert (await shown(waiting, "restarted"))["flags"] & EPHEMERAL
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    used = await use("private", 600)
    assert used["status"] == "deferred"
    assert (await shown(used, "secret"))["flags"] & EPHEMERAL

    async def logged() -> list[CommandLog]:
        found = await SqlCommandLogs(stack.database).page(CommandLogFilter(bot=bot_id), 200, None)
        wanted = {waiting["interaction_id"], used["interaction_id"]}
        logs = [view.log for view in found.items if str(view.log.interaction_id) in wanted]
        return logs if len(logs) == len(wanted) else []

    answered, cut_off = await until(logged, "what the user did is written down")
    assert (answered.outcome, answered.deferred, answered.reference) == (Outcome.ANSWERED, True, None)
    assert (answered.name, answered.options) == ("slow", {"how": "private", "wait_ms": 600})
    assert (answered.first_ms or 0) < 600 <= (answered.total_ms or 0)
    assert (cut_off.outcome, cut_off.deferred) == (Outcome.UNANSWERED, True)
    told = await shown(waiting, "restarted")
    assert cut_off.reference is not None
    assert cut_off.reference in told["content"]
