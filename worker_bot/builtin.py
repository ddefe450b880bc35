"""What the built-in extensions share: how they speak, ask the supervisor, bear being hammered, and use buttons."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import hikari
import lightbulb
import msgspec

from flotilla.protocol import Topic
from flotilla.tasks import awaited
from worker_bot import asking, itself, texts

LOOK_S: Final = 20.0
"""How long a command waits for its supervisor: longer than a database is away now and then. The guard defers it."""

CHOOSE_S: Final = 1.5
"""How long an autocomplete does; what it shows after 3 s nobody sees (Discord, Receiving and Responding)."""

BURST: Final = 8
REFILL_S: Final = 1.0
MAX_USERS: Final = 1000
PREFIX: Final = "flotilla"
MAX_DIGITS: Final = 6
MAX_CHOICE_CHARS: Final = 100
"""Of the name and of the value of a choice (Discord, Application Commands)."""

Answer = TypeVar("Answer")
Say = Callable[..., str]
Interaction = hikari.CommandInteraction | hikari.ComponentInteraction | hikari.AutocompleteInteraction


def voice(interaction: Interaction) -> Say:
    """Return what says texts in the user's language, else the guild's, else the bot's."""
    return partial(texts.say, texts.spoken(interaction.locale, interaction.guild_locale, interaction.guild_id))


async def asked(topic: Topic, question: object, kind: type[Answer], timeout_s: float = LOOK_S) -> Answer:
    """Return the supervisor's answer to a question. Raises asking.AskingError."""
    try:
        body = b"" if question is None else msgspec.json.encode(question)
    except UnicodeEncodeError:  # half of a surrogate pair
        raise asking.AskingError("not_understood", "the question has what is no text in it") from None
    answer = await asking.ask(topic, body, timeout_s)
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as fault:
        raise asking.AskingError("not_understood", f"the supervisor's answer cannot be read: {fault}") from None


class Pace:
    """Lets each user do `BURST` things at once and then one every `REFILL_S`; remembers `MAX_USERS` of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._users: OrderedDict[int, float] = OrderedDict()

    def wait_s(self, user_id: int) -> int:
        """Return 0 if a user may do one more thing now, and count it; else in how many seconds they may."""
        now = self._clock()
        full_at = max(now, self._users.get(user_id, now))
        wait_s = full_at - now - (BURST - 1) * REFILL_S
        if wait_s > 0:
            return math.ceil(wait_s)
        self._users[user_id] = full_at + REFILL_S
        self._users.move_to_end(user_id)
        if len(self._users) > MAX_USERS:
            self._users.popitem(last=False)
        return 0


pace = Pace()


async def whisper(ctx: lightbulb.Context, text: str, **more: Any) -> None:  # noqa: ANN401
    """Answer for this user's eyes alone."""
    await ctx.respond(text, ephemeral=True, **more)


async def may_go_on(ctx: lightbulb.Context, say: Say) -> bool:
    """Return whether a user may do one more thing now; tell them if not."""
    wait_s = pace.wait_s(ctx.user.id)
    if wait_s:
        await whisper(ctx, say("common.wait", seconds=wait_s))
    return not wait_s


# Owners --------------------------------------------------------------------------------------------------------------

APPLICATION_S: Final = 2.0
AGAIN_S: Final = 60.0
"""How long Discord is not asked again for the application when it has not told: users must not wait for it in turn."""


class Applications:
    """The bot's application, asked for once. client: of the bot. Lives in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: hikari.Application | None = None
        self._ask_at = float("-inf")
        self._asking: asyncio.Future[None] | None = None

    async def get(self, client: lightbulb.Client) -> hikari.Application | None:
        """Return it; None while Discord does not tell."""
        if self._found is None and self._clock() >= self._ask_at:
            self._asking = self._asking or awaited(self._ask(client))
            await asyncio.shield(self._asking)
        return self._found

    async def _ask(self, client: lightbulb.Client) -> None:
        try:
            async with asyncio.timeout(APPLICATION_S):
                self._found = await client.rest.fetch_application()
        except (hikari.HikariError, TimeoutError, OSError):
            self._ask_at = self._clock() + AGAIN_S
        finally:
            self._asking = None


applications = Applications()


async def is_owner(client: lightbulb.Client, user_id: int) -> bool:
    """Return whether a user owns the bot: by its config, or by Discord as the application's owner or in its team."""
    if str(int(user_id)) in itself.current().config().owners:
        return True
    found = await applications.get(client)
    if found is None:
        return False
    if found.team is None:
        return user_id == found.owner.id
    accepted = hikari.TeamMembershipState.ACCEPTED
    return any(
        member.user.id == user_id and member.membership_state == accepted for member in found.team.members.values()
    )


def is_staff(member: hikari.InteractionMember) -> bool:
    """Return whether somebody may manage the server."""
    staff = hikari.Permissions.MANAGE_GUILD | hikari.Permissions.ADMINISTRATOR
    return bool(member.permissions & staff)


# Buttons -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody used a button or select of ours. values: what its custom id carries, after whose it is."""

    interaction: hikari.ComponentInteraction
    user_id: int
    values: tuple[str, ...]
    say: Say

    async def show(self, content: hikari.UndefinedNoneOr[str], **more: Any) -> None:  # noqa: ANN401
        """Put this in place of what the message shows."""
        await self.interaction.create_initial_response(hikari.ResponseType.MESSAGE_UPDATE, content, **more)

    async def tell(self, text: str) -> None:
        """Answer for this user's eyes alone, and leave the message as it is."""
        await self.interaction.create_initial_response(
            hikari.ResponseType.MESSAGE_CREATE, text, flags=hikari.MessageFlag.EPHEMERAL
        )


def custom_id(kind: str, user_id: int, *values: object) -> str:
    """Return the custom id of a part that only this user may use; all it needs is in there, so it outlives the process.

    Only the last value may have a colon in it.
    """
    return ":".join((PREFIX, kind, str(int(user_id)), *map(str, values)))


async def pressed(event: hikari.ComponentInteractionCreateEvent, kind: str, values: int) -> Press | None:
    """Return what was used, if it is of this kind and its user's; None: it is not, and they have been told.

    values: how many its custom id carries.
    """
    interaction = event.interaction
    prefix, _, rest = interaction.custom_id.partition(":")
    name, _, rest = rest.partition(":")
    if (prefix, name) != (PREFIX, kind):
        return None
    user, *carried = rest.split(":", values)
    press = Press(interaction, int(interaction.user.id), tuple(carried), voice(interaction))
    if len(carried) != values:
        await press.tell(press.say("common.outdated"))
    elif user != str(press.user_id):
        await press.tell(press.say("common.not_yours"))
    elif wait_s := pace.wait_s(press.user_id):
        await press.tell(press.say("common.wait", seconds=wait_s))
    else:
        return press
    return None


def turning(say: Say, page: int, pages: int, to: Callable[[int], str]) -> list[hikari.api.MessageActionRowBuilder]:
    """Return the buttons to the pages before and after, if there is more than one. to: the custom id for a page."""
    if pages <= 1:
        return []
    row = hikari.impl.MessageActionRowBuilder()
    for label, target in ((say("common.previous"), page - 1), (say("common.next"), page + 1)):
        there = 1 <= target <= pages
        row.add_interactive_button(hikari.ButtonStyle.SECONDARY, to(target), label=label, is_disabled=not there)
    return [row]


def number_of(text: str) -> int:
    """Return a page's number out of a custom id; 1 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else 1


def choice(name: str, value: str) -> tuple[str, str]:
    """Return a choice whose name fits."""
    return (name if len(name) <= MAX_CHOICE_CHARS else f"{name[: MAX_CHOICE_CHARS - 1]}…"), value
