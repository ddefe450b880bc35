"""What users write to bots and to each other, and what stands in a channel."""

from typing import Annotated, Any

import typer

from flotilla.cli import terminal
from flotilla.cli.common import wait_until
from flotilla.cli.sandbox import values
from flotilla.cli.sandbox.options import AsJson, Bot, Url, User, sandbox, tell

Json = dict[str, Any]
READ_MESSAGES = 20
ChannelArgument = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="An id, NAME or GUILD/NAME; or a bot, for its home channel.")
]
Text = Annotated[str, typer.Argument(metavar="TEXT")]
ReplyTo = Annotated[str | None, typer.Option("--reply-to", metavar="MESSAGE", help="The message it replies to, by id.")]
Wait = Annotated[str, typer.Option("--wait", help="How long to wait for a bot to write something after it.")]


def say(
    channel: ChannelArgument,
    text: Text,
    user: User = None,
    reply_to: ReplyTo = None,
    wait: Wait = "0s",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write into a channel as a user."""
    with sandbox(url) as (control, names):
        path = f"/channels/{names.channel(channel)}/messages"
        written = control.post(path, _writing(text, user, reply_to))
        shown = [written, *_heard(control, written, wait)]
    _tell(shown, as_json=as_json)


def dm(
    bot: Bot,
    text: Text,
    user: User = None,
    reply_to: ReplyTo = None,
    wait: Wait = "2s",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write to a bot in private; print what it writes back."""
    with sandbox(url) as (control, names):
        path = f"/applications/{names.application(bot)['id']}/dm"
        written = control.post(path, _writing(text, user, reply_to))
        shown = [written, *_heard(control, written, wait)]
    _tell(shown, as_json=as_json)
    if not as_json:
        terminal.say(f"The private channel is {written['channel_id']}.")


def read(
    channel: ChannelArgument,
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=100, help="How many messages.")] = READ_MESSAGES,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print the last messages of a channel, the newest at the bottom."""
    with sandbox(url) as (control, names):
        found = control.items(f"/channels/{names.channel(channel)}/messages")[:last]
    if found or as_json:
        _tell(list(reversed(found)), as_json=as_json)
    else:
        terminal.say("Nobody has written here yet.")


def _writing(text: str, user: str | None, reply_to: str | None) -> Json:
    return {"content": text, "user": values.person(user), "reply_to": reply_to}


def _heard(control: Any, written: Json, wait: str) -> list[Json]:  # noqa: ANN401 - a Control
    """Return what was written after a message, once a bot wrote something or the time is over; oldest first."""
    wait_s, newer = values.seconds(wait), list[Json]()

    def heard() -> bool:
        rows = control.items(f"/channels/{written['channel_id']}/messages")
        newer[:] = [row for row in reversed(rows) if int(row["id"]) > int(written["id"])]
        return any(row["author"].get("bot") for row in newer)

    if wait_s:
        wait_until(heard, wait_s)
    return newer


def _tell(messages: list[Json], *, as_json: bool) -> None:
    from flotilla.cli.sandbox.messages import conversation  # noqa: PLC0415 - rich is slow to load

    tell(messages, lambda width: conversation(messages, width), as_json=as_json)
