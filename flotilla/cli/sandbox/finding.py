"""Which message of a bot is meant, and in which channel it is."""

from flotilla.cli.connection import Json
from flotilla.cli.faults import CommandError
from flotilla.cli.sandbox.control import Control
from flotilla.cli.sandbox.names import Names

LAST = "last"


def find_message(
    control: Control, names: Names, bot: Json, message_id: str, channel_id: str | None
) -> dict[str, str | None]:
    """Return `message_id` and `channel_id` of a bot's message; `last` is its newest one that has components.

    channel_id: where to look; None looks in every channel of the bot's guilds, its home channel first. A message that
    is in none of them (an ephemeral one is seen by one user only) is left for the sandbox to find in the home channel.
    Raises CommandError (`no_message`) if there is no last one.
    """
    if message_id == LAST:
        where = channel_id or str(bot["channel_id"])
        return {"message_id": _newest(control, bot, where), "channel_id": where}
    if channel_id is None:
        for each in names.channels_of(bot):
            if any(row["id"] == message_id for row in _messages(control, each)):
                return {"message_id": message_id, "channel_id": each}
    return {"message_id": message_id, "channel_id": channel_id}


def _newest(control: Control, bot: Json, channel_id: str) -> str:
    for row in _messages(control, channel_id):
        if row["author"]["id"] == bot["id"] and row["components"]:
            return str(row["id"])
    raise CommandError(
        f"{bot['name']} has written no message with components in channel {channel_id}. Ephemeral messages are found "
        "by their id only.",
        code="no_message",
    )


def _messages(control: Control, channel_id: str) -> list[Json]:
    return control.items(f"/channels/{channel_id}/messages")
