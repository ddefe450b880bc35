"""The control API under /sandbox, for tests and demos on this machine: JSON in, JSON out, loopback only."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from sandbox import limits
from sandbox.http import DISCORD, answer
from sandbox.interactions.interactions import Interaction
from sandbox.interactions.invocation import InvocationError
from sandbox.local_discord import LocalDiscord
from sandbox.world.objects import Json, User
from sandbox.world.world import Application

_PREFIX = "/sandbox"
_CLOSE_CODES = range(1000, 5000)
T = TypeVar("T")


class ControlError(Exception):
    """A control call that cannot be done; the message says what would be right."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NewApplication(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/applications."""

    name: str


class Person(msgspec.Struct, forbid_unknown_fields=True):
    """Who uses a command; the guild's owner if neither field is given."""

    id: str | None = None
    username: str | None = None


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/interactions."""

    command: str
    options: dict[str, Any] = {}
    user: Person | None = None
    wait_ms: float = 3500.0


class Closing(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/close; a null code cuts the TCP connection."""

    code: int | None


class Intents(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/intents."""

    refuse: bool


class Starts(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/session-starts."""

    remaining: int | None = None
    identify_interval_s: float | None = None


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse strangers, and answer errors as JSON."""
    if not request.path.startswith(_PREFIX):
        return await handler(request)
    try:
        check_loopback(request.remote)
        return await handler(request)
    except ControlError as error:
        return answer({"error": {"code": error.code, "message": str(error)}}, error.status)
    except web.HTTPException as error:
        message = f"{request.method} {request.path}: {error.reason}. docs/sandbox.md lists the control calls."
        return answer({"error": {"code": "no_such_call", "message": message}}, error.status)


def check_loopback(remote: str | None) -> None:
    """Raise ControlError 403 unless `remote`, an IP address, is this machine."""
    if remote is None or not ipaddress.ip_address(remote).is_loopback:
        raise ControlError(403, "loopback_only", "The control API answers on loopback only.")


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ControlError(422, "invalid_body", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ControlError(400, "invalid_json", f"The body is not JSON: {error}") from None


def _application(request: web.Request) -> Application:
    application_id = request.match_info["application_id"]
    application = request.app[DISCORD].world.find(application_id)
    if application is None:
        message = f"No application {application_id} here; POST {_PREFIX}/applications makes one by name."
        raise ControlError(404, "unknown_application", message)
    return application


def _describe(discord: LocalDiscord, application: Application) -> Json:
    connected = discord.sessions.clients_of(application.id)
    return {
        "id": application.id,
        "name": application.bot.username,
        "guild_id": application.home.guild_id,
        "channel_id": application.home.channel_id,
        "sessions_connected": len(connected),
        "sessions_resumable": len(discord.sessions.of(application.id)) - len(connected),
        "identifies": application.identifies,
        "resumes": application.resumes,
        "remaining": application.starts.remaining(discord.clock()),
        "token_resets": application.serial,
        "privileged_intents_refused": application.privileged_refused,
        "commands": application.commands.slash_names(),
        "commands_registered": len(application.commands),
    }


async def healthz(request: web.Request) -> web.Response:
    """Answer that the sandbox serves."""
    return answer({"status": "ok", "applications": len(list(request.app[DISCORD].world))})


async def list_applications(request: web.Request) -> web.Response:
    """Answer all applications."""
    discord = request.app[DISCORD]
    return answer({"items": [_describe(discord, application) for application in discord.world]})


async def register(request: web.Request) -> web.Response:
    """Make an application, or answer the one of this name."""
    world = request.app[DISCORD].world
    try:
        application = world.register((await _body(request, NewApplication)).name)
    except ValueError as error:
        raise ControlError(422, "invalid_name", str(error)) from None
    return answer({"id": application.id, "name": application.name, "token": world.token_of(application)})


async def get_application(request: web.Request) -> web.Response:
    """Answer one application."""
    return answer(_describe(request.app[DISCORD], _application(request)))


async def invoke(request: web.Request) -> web.Response:
    """Let a user use a slash command, and answer what the bot did within `wait_ms`."""
    discord, application, body = request.app[DISCORD], _application(request), await _body(request, Invocation)
    if not 0 <= body.wait_ms <= limits.FOLLOW_UP_S * 1000:
        raise ControlError(422, "invalid_wait", f"wait_ms must lie between 0 and {limits.FOLLOW_UP_S * 1000:.0f}.")
    try:
        interaction, reached = discord.invoke(application, body.command, body.options, _user(application, body.user))
    except InvocationError as error:
        known = application.commands.named((body.command.split() or [""])[0])
        raise ControlError(
            422 if known else 404, "bad_invocation" if known else "unknown_command", str(error)
        ) from None
    if not reached:
        return answer(interaction.as_json() | {"status": "not_connected", "sessions": 0})
    await _wait(interaction, min(body.wait_ms / 1000, limits.INITIAL_RESPONSE_S))
    outcome = interaction.as_json() | {"sessions": reached}
    if interaction.response is None:
        outcome |= {"status": "timed_out", "elapsed_ms": round((discord.clock() - interaction.opened_at) * 1000, 3)}
    return answer(outcome)


async def _wait(interaction: Interaction, timeout_s: float) -> None:
    responded = asyncio.Event()
    interaction.on_response = responded.set
    try:
        async with asyncio.timeout(timeout_s):
            await responded.wait()
    except TimeoutError:
        interaction.on_response = None


def _user(application: Application, person: Person | None) -> User:
    owner = application.home.owner
    if person is None or (person.id is None and person.username is None):
        return owner
    if person.id is not None and not person.id.isdecimal():
        raise ControlError(422, "invalid_user", "user.id must be a snowflake.")
    user_id = person.id or owner.id
    return User(user_id, person.username or f"user-{user_id}")


async def get_interaction(request: web.Request) -> web.Response:
    """Answer how an interaction stands, with the message it made."""
    interaction = request.app[DISCORD].interactions.find(request.match_info["interaction_id"])
    if interaction is None or interaction.application_id != _application(request).id:
        raise ControlError(404, "unknown_interaction", "No such interaction of this application, or it has expired.")
    return answer(interaction.as_json())


async def reset_token(request: web.Request) -> web.Response:
    """Reset the token: every session closes with 4004; answer the new token."""
    application = _application(request)
    return answer({"id": application.id, "token": request.app[DISCORD].revoke(application)})


async def close(request: web.Request) -> web.Response:
    """Close the application's connections with a code, or cut them."""
    application, code = _application(request), (await _body(request, Closing)).code
    if code is not None and code not in _CLOSE_CODES:
        raise ControlError(422, "invalid_code", "code must be 1000 to 4999, or null to cut the TCP connection.")
    clients = request.app[DISCORD].sessions.clients_of(application.id)
    for client in clients:
        if code is None:
            client.drop()
        else:
            client.close(code)
    return answer({"closed": len(clients)})


async def reconnect(request: web.Request) -> web.Response:
    """Ask the application's connections to reconnect (op 7)."""
    clients = request.app[DISCORD].sessions.clients_of(_application(request).id)
    for client in clients:
        client.request_reconnect()
    return answer({"asked": len(clients)})


async def set_intents(request: web.Request) -> web.Response:
    """Refuse or grant privileged intents from the next IDENTIFY on."""
    application = _application(request)
    application.privileged_refused = (await _body(request, Intents)).refuse
    return answer(_describe(request.app[DISCORD], application))


async def set_session_starts(request: web.Request) -> web.Response:
    """Set how many session starts are left, and how far apart they must be."""
    application, body = _application(request), await _body(request, Starts)
    if body.remaining is not None:
        if not 0 <= body.remaining <= application.starts.total:
            raise ControlError(
                422, "invalid_remaining", f"remaining must lie between 0 and {application.starts.total}."
            )
        application.starts.set_remaining(body.remaining, request.app[DISCORD].clock())
    if body.identify_interval_s is not None:
        if body.identify_interval_s < 0:
            raise ControlError(422, "invalid_interval", "identify_interval_s must not be negative.")
        application.starts.interval_s = body.identify_interval_s
    return answer(_describe(request.app[DISCORD], application))


async def unknown(request: web.Request) -> web.Response:
    """Answer the requests for REST routes the sandbox does not have, oldest first."""
    return answer({"items": list(request.app[DISCORD].unknown)})


_APPLICATION = f"{_PREFIX}/applications/{{application_id}}"
ROUTES = [
    web.get(f"{_PREFIX}/healthz", healthz),
    web.get(f"{_PREFIX}/unknown", unknown),
    web.get(f"{_PREFIX}/applications", list_applications),
    web.post(f"{_PREFIX}/applications", register),
    web.get(_APPLICATION, get_application),
    web.post(f"{_APPLICATION}/interactions", invoke),
    web.get(f"{_APPLICATION}/interactions/{{interaction_id}}", get_interaction),
    web.post(f"{_APPLICATION}/token-reset", reset_token),
    web.post(f"{_APPLICATION}/close", close),
    web.post(f"{_APPLICATION}/reconnect", reconnect),
    web.post(f"{_APPLICATION}/intents", set_intents),
    web.post(f"{_APPLICATION}/session-starts", set_session_starts),
]
