"""A stranger's bot on the sandbox, and what users and an operator of the sandbox do to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sandbox.local_discord import Rules
from tests.contract.sandbox.conftest import Sandbox, serving, tapping
from tests.judges.description import Description
from tests.judges.stranger import Stranger, running
from tests.judges.tap import Tap

NAME = "alpha"


class Stage:
    """A bot that is ready. Paths of the control API begin after /sandbox."""

    def __init__(self, sandbox: Sandbox, bot: Stranger, token: str, state: dict[str, Any], tap: Tap | None) -> None:
        self.bot = bot
        self.sandbox = sandbox
        self.tap = tap
        self.application_id: str = state["id"]
        self.guild_id: str = state["guild_id"]
        self.channel_id: str = state["channel_id"]
        self.owner_id: str = state["owner_id"]
        self.token = token
        self._path = f"/applications/{state['id']}"

    # The operator ----------------------------------------------------------------------------------------------------

    async def control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return the answer of a control call that must succeed."""
        status, answer = await self.sandbox.call(method, f"/sandbox{path}", body)
        assert status in {200, 201}, answer
        return dict(answer)

    async def state(self) -> dict[str, Any]:
        return await self.control("GET", self._path)

    async def starts(self) -> tuple[int, int]:
        """Return how often the bot identified and resumed, as Discord sees it."""
        state = await self.state()
        return state["identifies"], state["resumes"]

    async def order(self, call: str, body: Any = None) -> dict[str, Any]:
        return await self.control("POST", f"{self._path}/{call}", body)

    async def read(self, channel_id: str) -> list[dict[str, Any]]:
        """Return the newest messages of a channel, newest first."""
        return list((await self.control("GET", f"/channels/{channel_id}/messages"))["items"])

    async def rest(self, path: str) -> Any:
        """Return what Discord answers to a GET with the bot's token, or the error's code."""
        status, answer = await self.sandbox.rest("GET", path, self.token)
        return answer if status == 200 else answer["code"]

    async def grant(self, permissions: int) -> None:
        """Set the permissions of the bot's own role in its home guild."""
        guild = await self.control("GET", f"/guilds/{self.guild_id}")
        (role,) = (role for role in guild["roles"] if role["name"] == NAME)
        path = f"/guilds/{self.guild_id}/roles/{role['id']}"
        await self.control("PATCH", path, {"permissions": permissions})

    # Users -----------------------------------------------------------------------------------------------------------

    async def use(self, command: str, **options: Any) -> dict[str, Any]:
        """Let a user use a command; return what the bot did within 3 s."""
        return await self.order("interactions", {"command": command, "options": options})

    async def component(self, message: dict[str, Any], custom_id: str, **more: Any) -> dict[str, Any]:
        """Let a user press a button of a message or pick from its menu; return what the bot did."""
        return await self.order("components", {"message_id": message["id"], "custom_id": custom_id} | more)

    async def write(self, channel_id: str, content: str, **more: Any) -> dict[str, Any]:
        """Let a user write into a channel; return the message."""
        return await self.control("POST", f"/channels/{channel_id}/messages", {"content": content} | more)

    async def outcome(self, used: dict[str, Any]) -> dict[str, Any]:
        """Return how an interaction stands by now."""
        return await self.control("GET", f"{self._path}/interactions/{used['interaction_id']}")

    # The end ---------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise AssertionError if the bot's code failed or something was not as Discord describes it."""
        assert self.bot.failures() == []
        if self.tap is not None:
            self.tap.check()


@asynccontextmanager
async def on_stage(sandbox: Sandbox, tap: Tap | None, library: str, **options: Any) -> AsyncIterator[Stage]:
    """Let a bot of a library log in to the sandbox; stranger.py has the options."""
    application_id, token = await sandbox.application(NAME)
    state = await sandbox.control("GET", f"/applications/{application_id}")
    async with running(library, sandbox.url, token, **options) as bot:
        await bot.event("ready")
        yield Stage(sandbox, bot, token, state, tap)


@asynccontextmanager
async def alone(description: Description | None, library: str, rules: Rules, **options: Any) -> AsyncIterator[Stage]:
    """Let a bot of a library log in to a sandbox of its own, which it keeps for many tests."""
    with tapping(description) as tap:
        async with serving(tap, rules) as sandbox, on_stage(sandbox, tap, library, **options) as stage:
            yield stage
