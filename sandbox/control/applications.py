"""Control calls: applications, their connections, their tokens, intents and session starts."""

import msgspec
from aiohttp import web

from sandbox.control.door import ControlError
from sandbox.control.shell import PREFIX, application_of, read_body
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.world.applications import Application
from sandbox.world.objects import Json

_CLOSE_CODES = range(1000, 5000)


class NewApplication(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/applications."""

    name: str


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


def _describe(discord: LocalDiscord, application: Application) -> Json:
    connected = discord.sessions.clients_of(application.id)
    return {
        "id": application.id,
        "name": application.bot.username,
        "guild_id": application.home_guild_id,
        "channel_id": application.home_channel_id,
        "owner_id": application.owner.id,
        "guilds": len(discord.world.guilds_of(application.id)),
        "sessions_connected": len(connected),
        "sessions_resumable": len(discord.sessions.of(application.id)) - len(connected),
        "sessions": [
            {"shard": list(session.shard), "intents": session.intents, "presence": session.presence}
            for session in discord.sessions.of(application.id)
        ],
        "identifies": application.identifies,
        "resumes": application.resumes,
        "answered_twice": application.answered_twice,
        "resume_gap_ms": None if application.resume_gap_s is None else round(application.resume_gap_s * 1000, 3),
        "remaining": application.starts.remaining(discord.clock()),
        "token_resets": application.serial,
        "privileged_intents_refused": application.privileged_refused,
        "commands": application.commands.names(application.home_guild_id),
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
        application = world.register((await read_body(request, NewApplication)).name)
    except ValueError as error:
        raise ControlError(422, "invalid_name", str(error)) from None
    return answer(
        {
            "id": application.id,
            "name": application.name,
            "token": world.token_of(application),
            "commands_registered": len(application.commands),
        }
    )


async def get_application(request: web.Request) -> web.Response:
    """Answer one application."""
    return answer(_describe(request.app[DISCORD], application_of(request)))


async def reset_token(request: web.Request) -> web.Response:
    """Reset the token: every session closes with 4004; answer the new token."""
    application = application_of(request)
    return answer({"id": application.id, "token": request.app[DISCORD].revoke(application)})


async def close(request: web.Request) -> web.Response:
    """Close the application's connections with a code, or cut them."""
    application, code = application_of(request), (await read_body(request, Closing)).code
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
    clients = request.app[DISCORD].sessions.clients_of(application_of(request).id)
    for client in clients:
        client.request_reconnect()
    return answer({"asked": len(clients)})


async def set_intents(request: web.Request) -> web.Response:
    """Refuse or grant privileged intents from the next IDENTIFY on."""
    application = application_of(request)
    application.privileged_refused = (await read_body(request, Intents)).refuse
    return answer(_describe(request.app[DISCORD], application))


async def set_session_starts(request: web.Request) -> web.Response:
    """Set how many session starts are left, and how far apart they must be."""
    application, body = application_of(request), await read_body(request, Starts)
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


async def failures(request: web.Request) -> web.Response:
    """Answer the sandbox's own errors: how many there were, and the last ones with their stacks, oldest first."""
    kept = request.app[DISCORD].failures
    return answer({"total": kept.total, "items": list(kept.kept)})


_APPLICATION = f"{PREFIX}/applications/{{application_id}}"
ROUTES = [
    web.get(f"{PREFIX}/healthz", healthz),
    web.get(f"{PREFIX}/unknown", unknown),
    web.get(f"{PREFIX}/errors", failures),
    web.get(f"{PREFIX}/applications", list_applications),
    web.post(f"{PREFIX}/applications", register),
    web.get(_APPLICATION, get_application),
    web.post(f"{_APPLICATION}/token-reset", reset_token),
    web.post(f"{_APPLICATION}/close", close),
    web.post(f"{_APPLICATION}/reconnect", reconnect),
    web.post(f"{_APPLICATION}/intents", set_intents),
    web.post(f"{_APPLICATION}/session-starts", set_session_starts),
]
