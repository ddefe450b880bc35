"""What every control call shares: its door, JSON bodies, errors that say what would be right, names looked up."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sandbox import limits
from sandbox.control.door import ControlError, Door
from sandbox.errors import DiscordError
from sandbox.http import DISCORD, answer
from sandbox.interactions.options import ActError
from sandbox.local_discord import LocalDiscord
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, Guild
from sandbox.world.users import User
from sandbox.world.world import WorldFullError

PREFIX = "/sandbox"
DOOR: web.AppKey[Door] = web.AppKey("door", Door)
T = TypeVar("T")


Name = Annotated[str, msgspec.Meta(max_length=limits.NAME_MAX)]


class Person(msgspec.Struct, forbid_unknown_fields=True):
    """A user by id, made if there is none; or a new one by name."""

    id: str | None = None
    username: Name | None = None


def refusal(status: int, code: str, message: str) -> web.Response:
    """Return an error's answer."""
    return answer({"error": {"code": code, "message": message}}, status)


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse strangers, and answer errors as JSON."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    try:
        request.app[DOOR].check(request)
        return await handler(request)
    except ControlError as error:
        return refusal(error.status, error.code, str(error))
    except WorldFullError as error:
        return refusal(422, "world_full", f"{error}.")
    except ActError as error:
        return refusal(error.status, error.code, str(error))
    except DiscordError as error:
        shown = msgspec.json.encode(error.body()).decode()
        return refusal(422, "refused", f"Discord would refuse this with {error.fault.status}: {shown}")
    except (HttpProcessingError, web.RequestPayloadError) as error:
        return refusal(400, "invalid_body", f"The body is not coded as its headers say: {error}")
    except web.HTTPException as error:
        message = f"{request.method} {request.path}: {error.reason}. docs/sandbox.md lists the control calls."
        return refusal(error.status, "no_such_call", message)


async def read_body(request: web.Request, kind: type[T]) -> T:
    """Return the body as a `kind`; raise ControlError 400 or 422 if it is none."""
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ControlError(422, "invalid_body", str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ControlError(400, "invalid_json", f"The body is not JSON: {error}") from None


def application_of(request: web.Request) -> Application:
    """Return the application in the path; raise ControlError 404 if there is none."""
    return find_application(request.app[DISCORD], request.match_info["application_id"])


def find_application(discord: LocalDiscord, application_id: str) -> Application:
    """Return an application; raise ControlError 404 if there is none."""
    application = discord.world.find(application_id)
    if application is None:
        message = f"No application {application_id} here; POST {PREFIX}/applications makes one by name."
        raise ControlError(404, "unknown_application", message)
    return application


def guild_of(request: web.Request) -> Guild:
    """Return the guild in the path; raise ControlError 404 if there is none."""
    guild_id = request.match_info["guild_id"]
    guild = request.app[DISCORD].world.guilds.get(guild_id)
    if guild is None:
        raise ControlError(404, "unknown_guild", f"No guild {guild_id} here; GET {PREFIX}/guilds lists them.")
    return guild


def find_channel(discord: LocalDiscord, channel_id: str) -> Channel:
    """Return a channel; raise ControlError 404 if there is none."""
    channel = discord.world.channels.get(channel_id)
    if channel is None:
        message = f"No channel {channel_id} here; GET {PREFIX}/guilds/ID lists a guild's channels."
        raise ControlError(404, "unknown_channel", message)
    return channel


def person_of(discord: LocalDiscord, person: Person | None, default: User) -> User:
    """Return the user that a body names, made if need be; `default` if it names none."""
    if person is None or (person.id is None and person.username is None):
        return default
    if person.id is None:
        return discord.world.new_person(person.username or "", discord.clock())
    if not person.id.isdecimal():
        raise ControlError(422, "invalid_user", "user.id must be a snowflake.")
    if discord.world.find(person.id) is not None:
        raise ControlError(422, "invalid_user", f"{person.id} is a bot; bots act by themselves.")
    return discord.world.person(person.id, person.username)
