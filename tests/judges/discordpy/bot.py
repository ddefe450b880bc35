"""A bot made with discord.py, unchanged but for the address: it is told what to do, and tells, in lines of JSON.

Run as `bot.py '{"url": …, "token": …, "compress": "zlib-stream"}'`. Standard input has one call a line,
`{"id", "do", …}`; standard output one answer a line, `{"id", "result"}` or `{"id", "error"}`, and one event a line,
`{"event", …}`. The end of standard input ends the bot.
"""

import asyncio
import io
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

Interaction = discord.Interaction[discord.Client]
Command = app_commands.Command[Any, ..., Any]
WORDS = ("apple", "apricot", "banana")


def tell(**line: Any) -> None:
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


def shown(message: discord.Message | discord.InteractionMessage | discord.WebhookMessage) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "content": message.content,
        "embeds": [{"title": embed.title, "description": embed.description} for embed in message.embeds],
        "attachments": [{"filename": file.filename, "size": file.size} for file in message.attachments],
    }


class Panel(discord.ui.View):
    """A button and a select menu under a message."""

    @discord.ui.button(label="Press", custom_id="press", style=discord.ButtonStyle.primary)
    async def press(self, interaction: Interaction, _: discord.ui.Button["Panel"]) -> None:
        tell(event="component", custom_id="press", values=[])
        await interaction.response.edit_message(content="pressed")

    @discord.ui.select(
        custom_id="choose", max_values=2, options=[discord.SelectOption(label=word, value=word) for word in WORDS]
    )
    async def choose(self, interaction: Interaction, select: discord.ui.Select["Panel"]) -> None:
        tell(event="component", custom_id="choose", values=select.values)
        await interaction.response.send_message(f"chosen: {', '.join(select.values)}", ephemeral=True)


class Question(discord.ui.Modal, title="Question"):
    """A form with one text."""

    answer: discord.ui.TextInput["Question"] = discord.ui.TextInput(label="Answer", custom_id="answer", max_length=100)

    def __init__(self) -> None:
        super().__init__(custom_id="question")

    async def on_submit(self, interaction: Interaction) -> None:
        await interaction.response.send_message(f"answered: {self.answer.value}")


class Bot(discord.Client):
    """The bot, its commands and the calls it takes."""

    def __init__(self) -> None:
        # discord.py is ready when no more guilds came for this long, 2 s unless told otherwise.
        super().__init__(intents=discord.Intents.default(), guild_ready_timeout=0.2)
        self.tree = app_commands.CommandTree(self)
        commands: tuple[Command, ...] = (echo, later, secret, panel, ask, find, upload)
        for command in commands:
            self.tree.add_command(command)
        self.tree.error(self.on_failure)

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

    async def listen(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with asyncio.TaskGroup() as calls:
            while line := await reader.readline():
                calls.create_task(self.answer(json.loads(line)))
        await self.close()

    async def answer(self, call: dict[str, Any]) -> None:
        number, name = call.pop("id"), call.pop("do")
        try:
            tell(id=number, result=await getattr(self, f"do_{name}")(**call))
        except Exception as error:  # noqa: BLE001 - the test reads what went wrong
            tell(id=number, error=repr(error))

    def channel(self, channel_id: str) -> discord.PartialMessageable:
        return self.get_partial_messageable(int(channel_id))

    async def do_sync(self, guild_id: str | None = None) -> list[str]:
        guild = discord.Object(int(guild_id)) if guild_id else None
        if guild is not None:
            self.tree.add_command(here, guild=guild)
        return [command.name for command in await self.tree.sync(guild=guild)]

    async def do_send(self, channel_id: str, content: str, embed: dict[str, Any] | None = None) -> dict[str, Any]:
        embeds = [discord.Embed.from_dict(embed)] if embed else []
        return shown(await self.channel(channel_id).send(content, embeds=embeds))

    async def do_attach(self, channel_id: str, filename: str, text: str) -> dict[str, Any]:
        return shown(await self.channel(channel_id).send(file=discord.File(io.BytesIO(text.encode()), filename)))

    async def do_edit(self, channel_id: str, message_id: str, content: str) -> dict[str, Any]:
        return shown(await self.channel(channel_id).get_partial_message(int(message_id)).edit(content=content))

    async def do_fetch(self, channel_id: str, message_id: str) -> dict[str, Any]:
        return shown(await self.channel(channel_id).fetch_message(int(message_id)))

    async def do_history(self, channel_id: str, limit: int) -> list[dict[str, Any]]:
        return [shown(message) async for message in self.channel(channel_id).history(limit=limit)]

    async def do_delete(self, channel_id: str, message_id: str) -> None:
        await self.channel(channel_id).get_partial_message(int(message_id)).delete()

    async def do_burst(self, channel_id: str, count: int) -> list[str]:
        channel = self.channel(channel_id)
        sent = await asyncio.gather(*(channel.send(f"message {number}") for number in range(count)))
        return [message.content for message in sent]


@app_commands.command(description="Says it again")
@app_commands.describe(text="What to say", times="How often", loud="In capitals")
async def echo(
    interaction: Interaction, text: str, times: app_commands.Range[int, 1, 3] = 1, *, loud: bool = False
) -> None:
    said = " ".join([text] * times)
    await interaction.response.send_message(said.upper() if loud else said)


@app_commands.command(description="Takes its time")
async def later(interaction: Interaction) -> None:
    await interaction.response.defer(thinking=True)
    await interaction.edit_original_response(content="done", embed=discord.Embed(title="Result"))
    await interaction.followup.send("and more", wait=True)
    tell(event="original", **shown(await interaction.original_response()))


@app_commands.command(description="Tells only you")
async def secret(interaction: Interaction) -> None:
    await interaction.response.send_message("psst", ephemeral=True)


@app_commands.command(description="Shows a button and a menu")
async def panel(interaction: Interaction) -> None:
    await interaction.response.send_message("panel", view=Panel(timeout=None))


@app_commands.command(description="Asks with a form")
async def ask(interaction: Interaction) -> None:
    await interaction.response.send_modal(Question())


@app_commands.command(description="Finds a word")
async def find(interaction: Interaction, word: str) -> None:
    await interaction.response.send_message(f"found: {word}")


@find.autocomplete("word")
async def words(_: Interaction, current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=word, value=word) for word in WORDS if word.startswith(current)]


@app_commands.command(description="Takes a file and gives it back")
async def upload(interaction: Interaction, file: discord.Attachment) -> None:
    await interaction.response.send_message(f"{file.filename}, {file.size} bytes", file=await file.to_file())


@app_commands.command(description="Is only in this guild")
async def here(interaction: Interaction) -> None:
    await interaction.response.send_message(f"in {interaction.guild_id}")


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


discord.utils.setup_logging()
asyncio.run(main())
