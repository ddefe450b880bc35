"""Control calls: what users do, and what the bots answered after how many milliseconds."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from sandbox import acting, changes, limits
from sandbox.control.door import ControlError
from sandbox.control.shell import PREFIX, Person, application_of, find_channel, person_of, read_body
from sandbox.http import DISCORD, answer
from sandbox.interactions import acts
from sandbox.interactions.interactions import Act, Interaction
from sandbox.interactions.options import ActError, Place
from sandbox.local_discord import LocalDiscord
from sandbox.messages.attachments import Upload
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel
from sandbox.world.objects import Json
from sandbox.world.users import User

_WAIT_MS = 3_500.0


class _Doing(msgspec.Struct, forbid_unknown_fields=True):
    """Who does it, where, and how long the call waits. The owner, in the home channel, if nothing is said.

    A user who is not in the guild joins it first; `dm` stands for the private channel with the bot.
    """

    user: Person | None = None
    channel_id: str | None = None
    dm: bool = False
    locale: str = "en-US"
    wait_ms: float = _WAIT_MS


class Command(_Doing, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/interactions: a slash command, or one of the context menu on `target_id`."""

    command: str
    options: dict[str, Any] = {}
    on: str = ""
    target_id: str | None = None


class Typing(_Doing, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/autocomplete: `focused` is the option being typed."""

    command: str
    focused: str
    options: dict[str, Any] = {}


class Use(_Doing, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/components: a button, or a menu with the `values` picked."""

    message_id: str
    custom_id: str
    values: list[str] | None = None


class Submission(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/modals: the fields of the modal that an interaction was answered with."""

    interaction_id: str
    fields: dict[str, Any] = {}
    locale: str = "en-US"
    wait_ms: float = _WAIT_MS


class Writing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sandbox/channels/ID/messages and of POST …/dm."""

    content: str
    user: Person | None = None
    reply_to: str | None = None


def _where(discord: LocalDiscord, application: Application, body: _Doing) -> tuple[Place, User]:
    """Return the place and the user; a user who is not there yet joins."""
    if body.dm:
        user = person_of(discord, body.user, application.owner)
        return acting.place_of(discord, discord.world.dm(application, user)), user
    channel = find_channel(discord, body.channel_id or application.home_channel_id)
    return acting.place_of(discord, channel), someone_in(discord, channel, body.user)


def someone_in(discord: LocalDiscord, channel: Channel, person: Person | None) -> User:
    """Return the user that a body names, or who is in the channel anyway: the guild's owner, the person of a DM."""
    if channel.guild_id is None:
        return person_of(discord, person, next(user for user in channel.recipients if not user.bot))
    guild = discord.world.guilds[channel.guild_id]
    user = person_of(discord, person, guild.members[guild.owner_id].user)
    if user.id not in guild.members:
        changes.join(discord, guild, user, [])
    return user


async def _done(
    request: web.Request, application: Application, place: Place, user: User, act: Act, body: _Doing | Submission
) -> web.Response:
    """Perform an act and answer what the bot did within `wait_ms`."""
    discord = request.app[DISCORD]
    if not 0 <= body.wait_ms <= limits.FOLLOW_UP_S * 1000:
        raise ControlError(422, "invalid_wait", f"wait_ms must lie between 0 and {limits.FOLLOW_UP_S * 1000:.0f}.")
    interaction, reached = acting.perform(discord, application, user, place, act, body.locale)
    if not reached:
        return answer(acting.report(discord, interaction) | {"status": "not_connected", "sessions": 0})
    await wait(interaction, min(body.wait_ms / 1000, discord.rules.initial_response_s))
    outcome = acting.report(discord, interaction) | {"sessions": reached}
    if interaction.response is None:
        outcome |= {"status": "timed_out", "elapsed_ms": round((discord.clock() - interaction.opened_at) * 1000, 3)}
    return answer(outcome)


async def wait(interaction: Interaction, timeout_s: float) -> None:
    """Return once the initial response has come, or after `timeout_s`."""
    responded = asyncio.Event()
    interaction.on_response = responded.set
    try:
        async with asyncio.timeout(timeout_s):
            await responded.wait()
    except TimeoutError:
        interaction.on_response = None


async def use_command(request: web.Request) -> web.Response:
    """Let a user use a command."""
    discord, application, body = request.app[DISCORD], application_of(request), await read_body(request, Command)
    place, user = _where(discord, application, body)
    if body.on not in {"", "user", "message"}:
        raise ControlError(422, "invalid_target", "on must be user or message, or absent for a slash command.")
    if body.on:
        target = _target(discord, application, place, body)
        act = acts.use_on(application, place, user, body.command, target)
    else:
        options = {name: _with_file(discord, place, value) for name, value in body.options.items()}
        act = acts.use_command(application, place, user, body.command, options)
    return await _done(request, application, place, user, act, body)


def _target(discord: LocalDiscord, application: Application, place: Place, body: Command) -> User | Json:
    target_id = body.target_id or ""
    if body.on == "message":
        return acting.visible_message(discord, place.channel, target_id, application.id)
    target = discord.world.users.get(target_id)
    if target is None:
        raise ControlError(404, "unknown_user", f"No user {target_id!r} here for target_id.")
    return target


def _with_file(discord: LocalDiscord, place: Place, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return an option's value; a file is uploaded and becomes its attachment."""
    if not (isinstance(value, dict) and isinstance(value.get("filename"), str)):
        return value
    upload = Upload("0", value["filename"], str(value.get("text", "")).encode())
    return discord.attach([upload], {}, place.channel.id, discord.clock())[0]


async def autocomplete(request: web.Request) -> web.Response:
    """Let a user type into an option; the choices stand in the response."""
    discord, application, body = request.app[DISCORD], application_of(request), await read_body(request, Typing)
    place, user = _where(discord, application, body)
    act = acts.type_option(application, place, user, body.command, body.options, body.focused)
    return await _done(request, application, place, user, act, body)


async def use_component(request: web.Request) -> web.Response:
    """Let a user press a button or pick from a menu."""
    discord, application, body = request.app[DISCORD], application_of(request), await read_body(request, Use)
    place, user = _where(discord, application, body)
    message = acting.visible_message(discord, place.channel, body.message_id, application.id)
    owners = {message["author"]["id"], message.get("application_id")}
    if application.id not in owners:
        raise ActError(f"message {body.message_id} is not of application {application.id}")
    act = acts.use_component(place, user, message, body.custom_id, body.values)
    return await _done(request, application, place, user, act, body)


async def submit_modal(request: web.Request) -> web.Response:
    """Let the user who got a modal submit it."""
    discord, application, body = request.app[DISCORD], application_of(request), await read_body(request, Submission)
    opened = _interaction(discord, application, body.interaction_id)
    act = acts.submit_modal(opened, body.fields)
    place = acting.place_of(discord, opened.channel)
    return await _done(request, application, place, opened.user, act, body)


def _interaction(discord: LocalDiscord, application: Application, interaction_id: str) -> Interaction:
    interaction = discord.interactions.find(interaction_id)
    if interaction is None or interaction.application_id != application.id:
        raise ControlError(404, "unknown_interaction", "No such interaction of this application, or it has expired.")
    return interaction


async def get_interaction(request: web.Request) -> web.Response:
    """Answer how an interaction stands, with the messages it made."""
    discord = request.app[DISCORD]
    interaction = _interaction(discord, application_of(request), request.match_info["interaction_id"])
    return answer(acting.report(discord, interaction))


async def write(request: web.Request) -> web.Response:
    """Let a user write into a channel; answer the message."""
    discord, body = request.app[DISCORD], await read_body(request, Writing)
    channel = find_channel(discord, request.match_info["channel_id"])
    return answer(_write(discord, channel, someone_in(discord, channel, body.user), body))


async def write_dm(request: web.Request) -> web.Response:
    """Let a user write to the bot in private; answer the message."""
    discord, application, body = request.app[DISCORD], application_of(request), await read_body(request, Writing)
    user = person_of(discord, body.user, application.owner)
    return answer(_write(discord, discord.world.dm(application, user), user, body))


def _write(discord: LocalDiscord, channel: Channel, user: User, body: Writing) -> Json:
    message: Json = {"content": body.content}
    if body.reply_to is not None:
        message["message_reference"] = {"message_id": body.reply_to}
    return acting.write(discord, channel, user, message)


async def read(request: web.Request) -> web.Response:
    """Answer the newest messages of a channel, as a user with every permission sees them."""
    discord = request.app[DISCORD]
    channel = find_channel(discord, request.match_info["channel_id"])
    page = discord.messages.page(channel.id, limits.MESSAGES_PAGE_MAX)
    return answer({"items": [discord.messages.seen_by(message, "") for message in page]})


_APPLICATION = f"{PREFIX}/applications/{{application_id}}"
ROUTES = [
    web.post(f"{_APPLICATION}/interactions", use_command),
    web.get(f"{_APPLICATION}/interactions/{{interaction_id}}", get_interaction),
    web.post(f"{_APPLICATION}/autocomplete", autocomplete),
    web.post(f"{_APPLICATION}/components", use_component),
    web.post(f"{_APPLICATION}/modals", submit_modal),
    web.post(f"{_APPLICATION}/dm", write_dm),
    web.get(f"{PREFIX}/channels/{{channel_id}}/messages", read),
    web.post(f"{PREFIX}/channels/{{channel_id}}/messages", write),
]
