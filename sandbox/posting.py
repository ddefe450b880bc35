"""Messages that are written, changed and deleted, each with the event that tells of it."""

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.local_discord import LocalDiscord
from sandbox.messages import messages, rules
from sandbox.messages.attachments import Upload
from sandbox.world.guilds import HOLDS_MESSAGES, Channel, Guild
from sandbox.world.objects import Json


def post(
    discord: LocalDiscord, channel: Channel, author: Json, body: Json, uploads: list[Upload], extra: Json | None = None
) -> Json:
    """Check and write a message; return it.

    With `enforce_nonce`, a nonce the author used in the past few minutes returns the first message instead.
    author: a user object, or what a webhook shows in its place. extra: fields of the message that no body gives.
    """
    if channel.kind not in HOLDS_MESSAGES:
        raise DiscordError(errors.NOT_A_TEXT_CHANNEL)
    rules.check(body, uploads=uploads)
    now = discord.clock()
    enforced = bool(body.get("nonce") is not None and body.get("enforce_nonce"))
    if enforced:
        first = discord.messages.sent_before(author["id"], channel.id, body["nonce"], now)
        if first is not None:
            return first
    original = _referenced(discord, channel, body.get("message_reference"))
    files = discord.attach(uploads, body, channel.id, now) if uploads else []
    flags = (body.get("flags") or 0) & rules.FLAGS_OF_A_MESSAGE
    message = messages.create(body, discord.ids.next(now), channel.id, author, now, discord.world.users, files, flags)
    if original is not None:
        message = messages.reply_to(message, original, channel.guild_id, body.get("allowed_mentions"))
    message |= extra or {}
    discord.messages.keep(message)
    if enforced:
        discord.messages.remember_nonce(author["id"], message, now)
    announce(discord, channel, "MESSAGE_CREATE", message)
    return message


def announce(discord: LocalDiscord, channel: Channel, name: str, message: Json) -> None:
    """Tell of a message, unless it is ephemeral: Discord shows those to their user alone."""
    if not message["flags"] & rules.EPHEMERAL:
        if name == "MESSAGE_CREATE":
            channel.last_message_id = message["id"]
        discord.router.message(name, channel, message)


def _referenced(discord: LocalDiscord, channel: Channel, reference: Json | None) -> Json | None:
    if reference is None:
        return None
    original = discord.messages.find(channel.id, str(reference["message_id"]))
    places = {"channel_id": channel.id, "guild_id": channel.guild_id}
    if any(reference.get(key) is not None and str(reference[key]) != place for key, place in places.items()):
        original = None  # nobody can reply to a message of another channel
    if original is None and reference.get("fail_if_not_exists") is not False:
        faults = FieldFaults()
        faults.add(("message_reference",), "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        faults.raise_if_any()
    return original


def edit(discord: LocalDiscord, channel: Channel, message: Json, body: Json, uploads: list[Upload]) -> Json:
    """Check a change of a message and make it; return the message."""
    attached = [file["id"] for file in message["attachments"]]
    rules.check(body, uploads=uploads, may_be_empty=True, flags_before=message["flags"], attached=attached)
    now = discord.clock()
    files = discord.attach(uploads, body, channel.id, now) if uploads else []
    changed = discord.messages.keep(messages.edited(message, body, now, discord.world.users, files))
    announce(discord, channel, "MESSAGE_UPDATE", changed)
    return changed


def delete(discord: LocalDiscord, channel: Channel, message_id: str) -> None:
    """Delete a message; raise DiscordError 10008 if there is none."""
    message = discord.messages.delete(channel.id, message_id)
    gone(discord, channel, message)


def gone(discord: LocalDiscord, channel: Channel, message: Json) -> None:
    """Tell that a message was deleted, unless it was ephemeral."""
    if not message["flags"] & rules.EPHEMERAL:
        discord.router.of_channel(channel, "MESSAGE_DELETE", {"id": message["id"], "channel_id": channel.id})


def delete_many(discord: LocalDiscord, channel: Channel, message_ids: list[str]) -> None:
    """Delete those messages that there are, with one event for each hundred."""
    there = [each for each in message_ids if discord.messages.find(channel.id, each) is not None]
    for message_id in there:
        discord.messages.delete(channel.id, message_id)
    for first in range(0, len(there), limits.BULK_DELETE_MAX):
        some = there[first : first + limits.BULK_DELETE_MAX]
        discord.router.of_channel(channel, "MESSAGE_DELETE_BULK", {"ids": some, "channel_id": channel.id})


def delete_by(discord: LocalDiscord, guild: Guild, author_id: str, seconds: float) -> None:
    """Delete what a user wrote in a guild in the past `seconds`."""
    since = discord.clock() - seconds
    for channel in guild.channels.values():
        delete_many(discord, channel, discord.messages.ids_by(author_id, channel.id, since))
