"""A bot made with discord.py, unchanged but for the address: it is told what to do, and tells, in lines of JSON.

Run as a module with `{"url", "token", "compress": "zlib-stream", "intents": "default"|"all", "heartbeat_timeout_s"}`.
Standard input has one call a line, `{"id", "do", …}`; standard output one answer a line, `{"id", "result"}` or
`{"id", "error"}`, and one event a line, `{"event", …}`. The end of standard input ends the bot.
"""

import asyncio
import json
import sys
from typing import Any

OPTIONS = json.loads(sys.argv[1])
if OPTIONS["compress"] == "zlib-stream":
    sys.modules["zstandard"] = None  # type: ignore[assignment] # where it is missing discord.py asks for zlib-stream

import discord  # noqa: E402 - how it is imported decides how it is compressed
import yarl  # noqa: E402
from discord import app_commands  # noqa: E402
from discord.gateway import DiscordWebSocket  # noqa: E402
from discord.http import Route  # noqa: E402

from tests.judges.discordpy import calls  # noqa: E402
from tests.judges.discordpy.commands import COMMANDS, Interaction, Panel  # noqa: E402
from tests.judges.discordpy.telling import shown, tell  # noqa: E402


class Bot(discord.Client):
    """The bot: what it hears, and how it takes calls."""

    def __init__(self) -> None:
        intents = discord.Intents.default()
        if OPTIONS["intents"] == "all":
            intents.members = intents.message_content = True
        super().__init__(
            intents=intents,
            guild_ready_timeout=0.2,  # it is ready when no more guilds came for this long, 2 s unless told otherwise
            heartbeat_timeout=OPTIONS["heartbeat_timeout_s"],
        )
        self.tree = app_commands.CommandTree(self)
        for command in COMMANDS:
            self.tree.add_command(command)
        self.tree.error(self.on_failure)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait for 5 s before another IDENTIFY: the sandbox of the tests does not ask for it."""

    async def setup_hook(self) -> None:
        self.add_view(Panel(timeout=None))
        self._listening = asyncio.create_task(self.listen())

    async def on_failure(self, _: Interaction, error: Exception) -> None:
        tell(event="failed", message=repr(error))

    async def on_error(self, event_method: str, /, *_: Any, **__: Any) -> None:
        tell(event="failed", message=f"{event_method}: {sys.exc_info()[1]!r}")

    async def on_ready(self) -> None:
        assert self.user is not None
        tell(event="ready", user_id=str(self.user.id), guilds=[str(guild.id) for guild in self.guilds])

    async def on_resumed(self) -> None:
        tell(event="resumed")

    async def on_interaction(self, interaction: Interaction) -> None:
        if interaction.type is discord.InteractionType.application_command:
            data: Any = interaction.data
            tell(event="command", name=data["name"])

    async def on_message(self, message: discord.Message) -> None:
        tell(event="message", **shown(message))
        if message.guild is None and not message.author.bot:
            await message.reply(f"you said: {message.content}")

    async def on_bulk_message_delete(self, messages: list[discord.Message]) -> None:
        tell(event="deleted", ids=sorted(str(message.id) for message in messages))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        tell(event="joined", guild_id=str(guild.id), member_count=guild.member_count)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        tell(event="left", guild_id=str(guild.id))

    async def on_member_join(self, member: discord.Member) -> None:
        tell(event="member_joined", name=member.name)

    async def on_member_remove(self, member: discord.Member) -> None:
        tell(event="member_left", name=member.name)

    async def on_member_update(self, _: discord.Member, member: discord.Member) -> None:
        roles = [str(role.id) for role in member.roles if not role.is_default()]
        tell(event="member_changed", name=member.name, roles=roles, timed_out=member.is_timed_out())

    async def on_member_ban(self, _: discord.Guild, user: discord.User | discord.Member) -> None:
        tell(event="banned", name=user.name)

    async def listen(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with asyncio.TaskGroup() as answers:
            while line := await reader.readline():
                answers.create_task(self.answer(json.loads(line)))
        await self.close()

    async def answer(self, call: dict[str, Any]) -> None:
        number, name = call.pop("id"), call.pop("do")
        try:
            tell(id=number, result=await getattr(calls, name)(self, **call))
        except Exception as error:  # noqa: BLE001 - the test reads what went wrong
            tell(id=number, error=repr(error))


async def main() -> None:
    Route.BASE = f"{OPTIONS['url']}/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"{OPTIONS['url'].replace('http', 'ws', 1)}/gateway")
    async with Bot() as bot:
        try:
            await bot.start(OPTIONS["token"])
        except discord.ConnectionClosed as closed:
            tell(event="stopped", code=closed.code)
        except discord.LoginFailure:
            tell(event="stopped", code=401)


if __name__ == "__main__":
    discord.utils.setup_logging()
    asyncio.run(main())
