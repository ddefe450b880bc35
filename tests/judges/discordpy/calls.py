"""What the bot can be told to do, by the calls' names."""

import asyncio
import io
from typing import TYPE_CHECKING, Any

import discord

from tests.judges.discordpy.commands import here
from tests.judges.discordpy.telling import shown

if TYPE_CHECKING:
    from tests.judges.discordpy.bot import Bot

Answer = dict[str, Any]


def channel_of(bot: "Bot", channel_id: str) -> discord.PartialMessageable:
    return bot.get_partial_messageable(int(channel_id))


def guild_of(bot: "Bot", guild_id: str) -> discord.Guild:
    guild = bot.get_guild(int(guild_id))
    assert guild is not None
    return guild


async def sync(bot: "Bot", guild_id: str | None = None) -> list[str]:
    guild = discord.Object(int(guild_id)) if guild_id else None
    if guild is not None:
        bot.tree.add_command(here, guild=guild)
    return [command.name for command in await bot.tree.sync(guild=guild)]


async def send(bot: "Bot", channel_id: str, content: str, embed: Answer | None = None) -> Answer:
    embeds = [discord.Embed.from_dict(embed)] if embed else []
    return shown(await channel_of(bot, channel_id).send(content, embeds=embeds))


async def attach(bot: "Bot", channel_id: str, filename: str, text: str) -> Answer:
    return shown(await channel_of(bot, channel_id).send(file=discord.File(io.BytesIO(text.encode()), filename)))


async def detach(bot: "Bot", channel_id: str, message_id: str) -> Answer:
    message = channel_of(bot, channel_id).get_partial_message(int(message_id))
    return shown(await message.edit(content="gone", attachments=[]))


async def reply(bot: "Bot", channel_id: str, message_id: str, content: str) -> Answer:
    message = channel_of(bot, channel_id).get_partial_message(int(message_id))
    return shown(await message.reply(content, mention_author=True))


async def edit(bot: "Bot", channel_id: str, message_id: str, content: str) -> Answer:
    return shown(await channel_of(bot, channel_id).get_partial_message(int(message_id)).edit(content=content))


async def fetch(bot: "Bot", channel_id: str, message_id: str) -> Answer:
    return shown(await channel_of(bot, channel_id).fetch_message(int(message_id)))


async def history(bot: "Bot", channel_id: str, limit: int) -> list[Answer]:
    return [shown(message) async for message in channel_of(bot, channel_id).history(limit=limit)]


async def delete(bot: "Bot", channel_id: str, message_id: str) -> None:
    await channel_of(bot, channel_id).get_partial_message(int(message_id)).delete()


async def delete_many(bot: "Bot", channel_id: str, message_ids: list[str]) -> None:
    channel = bot.get_channel(int(channel_id))
    assert isinstance(channel, discord.TextChannel)
    await channel.delete_messages([discord.Object(int(each)) for each in message_ids])


async def burst(bot: "Bot", channel_id: str, count: int) -> list[str]:
    channel = channel_of(bot, channel_id)
    sent = await asyncio.gather(*(channel.send(f"message {number}") for number in range(count)))
    return [message.content for message in sent]


async def webhook(bot: "Bot", channel_id: str) -> list[Any]:
    """Make a webhook, use it, and delete it; tell of each step what came of it."""
    channel = bot.get_channel(int(channel_id))
    assert isinstance(channel, discord.TextChannel)
    hook = await channel.create_webhook(name="news", reason="there is news")
    listed = [each.name for each in await channel.webhooks()]
    sent = await hook.send("extra", username="paper", wait=True)
    edited = await sent.edit(content="extra, extra")
    fetched = await hook.fetch_message(sent.id)
    await hook.delete_message(sent.id)
    renamed = (await hook.edit(name="old news")).name
    await hook.delete()
    left = [each.name for each in await channel.webhooks()]
    return [listed, shown(sent), edited.content, fetched.content, renamed, left]


async def members(bot: "Bot", guild_id: str) -> list[str]:
    """Fetch the names of all members by REST."""
    return [member.name async for member in guild_of(bot, guild_id).fetch_members(limit=None)]


async def chunks(bot: "Bot", guild_id: str) -> list[str]:
    """Return the names of all members, fetched by the gateway; discord.py did so when it joined the guild."""
    guild = guild_of(bot, guild_id)
    assert guild.chunked
    return [member.name for member in guild.members]


async def query(bot: "Bot", guild_id: str, start: str, limit: int) -> list[str]:
    """Fetch the names of members that begin so, by the gateway."""
    return [member.name for member in await guild_of(bot, guild_id).query_members(start, limit=limit)]
