"""What users can use: slash commands, context menus, a panel of buttons and menus, a form."""

from datetime import timedelta
from typing import Any, Literal

import discord
from discord import app_commands

from tests.judges.discordpy.telling import shown, tell

Interaction = discord.Interaction[discord.Client]
Command = app_commands.Command[Any, ..., Any] | app_commands.ContextMenu
WORDS = ("apple", "apricot", "banana")


class Question(discord.ui.Modal, title="Question"):
    """A form with one text."""

    answer: discord.ui.TextInput["Question"] = discord.ui.TextInput(label="Answer", custom_id="answer", max_length=100)

    def __init__(self) -> None:
        super().__init__(custom_id="question")

    async def on_submit(self, interaction: Interaction) -> None:
        if interaction.message is not None:
            await interaction.response.edit_message(content=f"answered: {self.answer.value}")
        else:
            await interaction.response.send_message(f"answered: {self.answer.value}")


class Panel(discord.ui.View):
    """Buttons and menus under a message."""

    @discord.ui.button(label="Press", custom_id="press", style=discord.ButtonStyle.primary)
    async def press(self, interaction: Interaction, _: discord.ui.Button["Panel"]) -> None:
        await interaction.response.edit_message(content="pressed")

    @discord.ui.button(label="Slow", custom_id="slow")
    async def slow(self, interaction: Interaction, _: discord.ui.Button["Panel"]) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content="took its time")
        tell(event="original", **shown(await interaction.original_response()))

    @discord.ui.button(label="Form", custom_id="form")
    async def form(self, interaction: Interaction, _: discord.ui.Button["Panel"]) -> None:
        await interaction.response.send_modal(Question())

    @discord.ui.select(
        custom_id="choose", max_values=2, options=[discord.SelectOption(label=word, value=word) for word in WORDS]
    )
    async def choose(self, interaction: Interaction, select: discord.ui.Select["Panel"]) -> None:
        await interaction.response.send_message(f"chosen: {', '.join(select.values)}", ephemeral=True)

    @discord.ui.select(cls=discord.ui.UserSelect, custom_id="pick", max_values=2)
    async def pick(self, interaction: Interaction, select: discord.ui.UserSelect["Panel"]) -> None:
        await interaction.response.send_message(f"picked: {', '.join(user.name for user in select.values)}")


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


@app_commands.command(description="Shows buttons and menus")
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


@app_commands.command(description="Takes a file, gives it back, and takes it away again")
async def upload(interaction: Interaction, file: discord.Attachment, *, away: bool = False) -> None:
    await interaction.response.send_message(f"{file.filename}, {file.size} bytes", file=await file.to_file())
    tell(event="uploaded", **shown(await interaction.original_response()))
    if away:
        tell(event="gone", **shown(await interaction.edit_original_response(content="gone", attachments=[])))


Action = Literal["kick", "ban", "unban", "timeout", "give", "take"]


@app_commands.command(description="Keeps order")
@app_commands.guild_only()
async def moderate(
    interaction: Interaction, action: Action, member: discord.Member | discord.User, role: discord.Role | None = None
) -> None:
    try:
        await keep_order(action, member, role, interaction.guild)
    except discord.HTTPException as error:
        await interaction.response.send_message(f"{action}: {type(error).__name__} {error.code}")
    else:
        await interaction.response.send_message(f"{action}: done")


async def keep_order(
    action: Action, member: discord.Member | discord.User, role: discord.Role | None, guild: discord.Guild | None
) -> None:
    assert guild is not None
    if action == "unban":
        await guild.unban(member, reason="forgiven")
        return
    assert isinstance(member, discord.Member)
    if action == "kick":
        await member.kick(reason="for order's sake")
    elif action == "ban":
        await member.ban(reason="for order's sake", delete_message_seconds=0)
    elif action == "timeout":
        await member.timeout(timedelta(minutes=5), reason="for order's sake")
    else:
        assert role is not None
        await (member.add_roles if action == "give" else member.remove_roles)(role, reason="for order's sake")


@app_commands.context_menu(name="Greet")
async def greet(interaction: Interaction, user: discord.User | discord.Member) -> None:
    await interaction.response.send_message(f"hello {user.name}")


@app_commands.context_menu(name="Quote")
async def quote(interaction: Interaction, message: discord.Message) -> None:
    await interaction.response.send_message(f"{message.author.name}: {message.content}")


@app_commands.command(description="Is only in this guild")
async def here(interaction: Interaction) -> None:
    await interaction.response.send_message(f"in {interaction.guild_id}")


COMMANDS: tuple[Command, ...] = (echo, later, secret, panel, ask, find, upload, moderate, greet, quote)
