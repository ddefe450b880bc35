"""Discord limits a bot on every route at once, or its edge does.

The bot waits as long as it is told, answers to interactions too; what is void by then is given up and recorded as
failed, and the address comes no nearer to its ban than a few requests. When the limit is over it answers as before.
"""

import asyncio
from typing import Any

import pytest

from flotilla.db.command_logs import CommandLogFilter, SqlCommandLogs
from flotilla.domain.command_logs import Outcome
from tests.stack import Stack, until

LIMITS = {
    "a global limit": {"kind": "rest_429", "scope": "global", "retry_after_s": 0.2},
    "a limit without a bucket": {"kind": "rest_429", "scope": "user", "bucket": False, "retry_after_s": 0.2},
    "Cloudflare": {"kind": "rest_edge_429", "retry_after_s": 1},
}
COMMANDS = 5
FEW = 5 * COMMANDS
"""Refused requests: each command at once, then one after another, and what its user is to be told by."""


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_commands_under_a_limit_cost_a_few_refused_requests_and_work_again_after_it(
    stack: Stack, limit: dict[str, Any]
) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    (application,) = (await stack.sandbox("GET", "/applications"))["items"]
    path = f"/applications/{application['id']}/interactions"

    async def ping() -> str:
        return str((await stack.sandbox("POST", path, command="ping"))["status"])

    await stack.sandbox("POST", "/faults", **limit)
    used = await asyncio.gather(*(ping() for _ in range(COMMANDS)))
    assert "answered" not in used

    async def given_up() -> bool:
        found = await SqlCommandLogs(stack.database).page(CommandLogFilter(bot=bot_id), 50, None)
        return [view.log.outcome for view in found.items].count(Outcome.FAILED) == COMMANDS

    await until(given_up, "all are recorded as failed")
    refused = sum(each["invalid_requests"] for each in (await stack.sandbox("GET", "/addresses"))["items"])
    assert COMMANDS <= refused <= FEW
    await stack.sandbox("DELETE", "/faults")
    status = await stack.status(bot_id)
    assert (status.generation, status.ready) == (1, True)

    async def works() -> bool:
        return await ping() == "answered"

    await until(works, "it answers again")
