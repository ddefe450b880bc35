"""Users at work: they write messages and use applications, and what the bots answer is told."""

from sandbox import posting
from sandbox.interactions import acts
from sandbox.interactions.interactions import Act, Interaction
from sandbox.interactions.options import ActError, Place
from sandbox.local_discord import LocalDiscord
from sandbox.messages import rules
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.permissions import Permission
from sandbox.world.users import User


def place_of(discord: LocalDiscord, channel: Channel) -> Place:
    """Return the place that a channel is."""
    guild = None if channel.guild_id is None else discord.world.guilds[channel.guild_id]
    return Place(discord.world, channel, guild)


def visible_message(discord: LocalDiscord, channel: Channel, message_id: str, viewer_id: str = "") -> Json:
    """Return a message that a user sees in the channel, ephemeral ones included; raise ActError if there is none.

    viewer_id: the bot that will be shown it.
    """
    message = discord.messages.find(channel.id, message_id) or discord.interactions.private_message(message_id)
    if message is None or message["channel_id"] != channel.id:
        raise ActError(f"there is no message {message_id} in channel {channel.id}")
    return discord.messages.seen_by(message, viewer_id)


def perform(
    discord: LocalDiscord, application: Application, user: User, place: Place, act: Act, locale: str = "en-US"
) -> tuple[Interaction, int]:
    """Open an interaction for what a user did and send it; return it and how many sessions it was sent to."""
    acts.may_act(place, user)
    now = discord.clock()
    interaction = discord.interactions.open(application.id, application.bot, user, place.channel, act, now)
    event = acts.event(interaction, place, locale)
    reached = discord.router.to_application(application.id, "INTERACTION_CREATE", event, place.channel.guild_id)
    return interaction, reached


def write(discord: LocalDiscord, channel: Channel, user: User, body: Json) -> Json:
    """Let a user write a message; return it. Raises ActError if he may not, DiscordError if it is no message."""
    granted = discord.world.permissions_in(channel, user.id)
    needed = Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES
    if granted & needed != needed:
        raise ActError(f"{user.username} may not write in channel {channel.id}")
    return posting.post(discord, channel, user.as_json(), body, [])


def report(discord: LocalDiscord, interaction: Interaction) -> Json:
    """Return what is known of an interaction: its status, the response, and the messages that came of it."""
    original = discord.interactions.original(interaction)
    return {
        "interaction_id": interaction.id,
        "kind": interaction.act.kind.name.lower(),
        "command": interaction.act.name,
        "status": interaction.status,
        "elapsed_ms": interaction.elapsed_ms,
        "response": interaction.response,
        "message": original,
        "ephemeral": bool(original and original["flags"] & rules.EPHEMERAL),
        "follow_ups": discord.interactions.follow_ups(interaction),
    }
