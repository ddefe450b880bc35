"""A sandbox furnished with one of everything that a path can name, for requests at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from sandbox import acting, posting
from sandbox.commands.book import CommandBook
from sandbox.interactions import acts
from sandbox.interactions.interactions import Interaction
from sandbox.local_discord import LocalDiscord
from sandbox.messages.webhooks import Webhook
from sandbox.world.applications import Application
from sandbox.world.guilds import ROLE_OVERWRITE, Channel, ChannelType, Overwrite

COMMAND = {
    "name": "ping",
    "description": "d",
    "options": [{"type": 3, "name": "text", "description": "d", "autocomplete": True}],
}
LOOK = {"name": "Look", "type": 2}
BUTTON = {"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}


@dataclass(frozen=True, slots=True)
class Scene:
    """`names`: what stands for each parameter of a path. `ids`: snowflakes, also of foreign and deleted objects."""

    application: Application
    token: str
    names: Mapping[str, str]
    ids: tuple[str, ...]


def furnish(discord: LocalDiscord, kind: str = "command", answered: bool = True) -> Scene:
    """Make new objects for the application `alpha`.

    kind: what the user of the interaction did. answered: whether the bot has answered it.
    """
    application, other = discord.world.register("alpha"), discord.world.register("beta")
    guild, now = discord.world.guilds[application.home_guild_id], discord.clock()
    discord.world.join(guild, application.bot, now)
    for stale in [each for each in guild.channels.values() if each.id != application.home_channel_id]:
        discord.world.drop_channel(stale)
        discord.messages.drop_channel(stale.id)
        discord.webhooks.drop_channel(stale.id)
    for stale_id in [role.id for role in guild.roles.values() if role.name == "staff"]:
        del guild.roles[stale_id]
    guild.members[application.id].nick = None
    channel = discord.world.new_channel(guild, "room", ChannelType.GUILD_TEXT, now)
    category = discord.world.new_channel(guild, "Shelf", ChannelType.GUILD_CATEGORY, now)
    person = discord.world.new_person("ann", now)
    discord.world.join(guild, person, now)
    role = discord.world.new_role(guild, "staff", 0, now)
    message = posting.post(discord, channel, application.bot.as_json(), {"content": "x", "components": [BUTTON]}, [])
    gone = posting.post(discord, channel, application.bot.as_json(), {"content": "y"}, [])
    posting.delete(discord, channel, gone["id"])
    hook = discord.webhooks.add(
        Webhook(discord.ids.next(now), "hook-token", channel.id, guild.id, "w", application.bot, application.id)
    )
    hooked = posting.post(discord, channel, hook.author({}), {"content": "z"}, [], {"webhook_id": hook.id})
    application.commands = CommandBook()
    application.commands.overwrite(application.id, None, [COMMAND, LOOK], discord.ids, now)
    application.commands.overwrite(application.id, guild.id, [COMMAND], discord.ids, now)
    interaction = _interaction(discord, application, channel, message["id"], kind)
    if answered:
        answer = {"type": 8, "data": {"choices": []}} if kind == "typing" else {"type": 4, "data": {"content": "x"}}
        discord.interactions.respond(interaction.id, interaction.token, answer, [], now)
    channel.overwrites[role.id] = Overwrite(role.id, ROLE_OVERWRITE, 0, 0)
    discord.world.guilds[guild.id].banned[other.owner.id] = (other.owner, None)
    names = {
        "application_id": application.id,
        "guild_id": guild.id,
        "channel_id": channel.id,
        "message_id": message["id"],
        "user_id": person.id,
        "role_id": role.id,
        "overwrite_id": role.id,
        "webhook_id": hook.id,
        "webhook_token": hook.token,
        "interaction_id": interaction.id,
        "interaction_token": interaction.token,
        "hooked_id": hooked["id"],
        "emoji_name": quote("👍"),
        "command_id": application.commands.of(None)[0]["id"],
        "guild_command_id": application.commands.of(guild.id)[0]["id"],
        "banned_id": other.owner.id,
    }
    ids = [value for key, value in names.items() if key.endswith("_id")]
    ids += [category.id, gone["id"], other.id, other.home_guild_id, other.home_channel_id, "1", "0", str(2**64 - 1)]
    return Scene(application, discord.world.token_of(application), names, tuple(ids))


def _interaction(
    discord: LocalDiscord, application: Application, channel: Channel, message_id: str, kind: str
) -> Interaction:
    place, user = acting.place_of(discord, channel), application.owner
    if kind == "button":
        act = acts.use_component(place, user, discord.messages.get(channel.id, message_id), "go", None)
    elif kind == "typing":
        act = acts.type_option(application, place, user, "ping", {"text": "x"}, "text")
    else:
        act = acts.use_command(application, place, user, "ping", {})
    return acting.perform(discord, application, user, place, act)[0]
