"""A demo's Discord ends or is killed, and comes back.

Its applications keep their names, and with them their commands, guilds and messages; bots begin a session anew by
themselves. A file that cannot be used is set aside with a sentence.
"""

import signal
from typing import Any

from tests.stack import Program, Stack, until

SOON_S = 60.0


async def started(stack: Stack, port: str) -> Program:
    """Start a local Discord that keeps its state."""
    return await stack.start_sandbox("--port", port, "--state", str(stack.home / "sandbox.state"))


async def test_commands_names_and_messages_are_there_after_a_kill_while_bots_run(stack: Stack) -> None:
    await stack.programs[0].end()
    first = await started(stack, "0")
    bot_id = await stack.add_bot("demo-1")
    await stack.start_supervisor()
    await stack.all_ready(1)

    async def application() -> dict[str, Any]:
        (row,) = (await stack.sandbox("GET", "/applications"))["items"]
        return dict(row)

    before = await until(application, "the application is there")
    path = f"/applications/{before['id']}/interactions"
    assert (await stack.sandbox("POST", path, command="ping"))["status"] == "answered"
    words = f"/channels/{before['channel_id']}/messages"
    said = await stack.sandbox("POST", words, content="kept?")
    file = stack.home / "sandbox.state"
    await until(lambda: file.exists() and b"kept?" in file.read_bytes(), "what was said is in the file")

    await first.end(signal.SIGKILL)
    await started(stack, stack.sandbox_url.rpartition(":")[2])
    await stack.observed(bot_id, lambda s: s.ready, "READY again", SOON_S)

    async def connected() -> bool:
        return bool((await application())["sessions_connected"])

    await until(connected, "the bot has a session again", SOON_S)
    after = await application()
    for part in ("id", "name", "commands", "commands_registered", "guild_id", "channel_id"):
        assert after[part] == before[part], part
    assert (await stack.sandbox("POST", path, command="ping"))["status"] == "answered"
    assert said["id"] in [row["id"] for row in (await stack.sandbox("GET", words))["items"]]


async def test_a_file_that_cannot_be_used_is_set_aside_and_bots_connect_all_the_same(stack: Stack) -> None:
    await stack.programs[0].end()
    (stack.home / "sandbox.state").write_bytes(b"sandbox-state 1 of-nobody 0\n\xff")
    program = await started(stack, "0")
    (sentence,) = [line for line in program.text().splitlines() if line.startswith("sandbox: ")]
    assert "sandbox.state.set-aside" in sentence
    await stack.add_bot("demo-1")
    await stack.start_supervisor()
    await stack.all_ready(1)
