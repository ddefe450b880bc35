"""Control calls for OAuth2: an application's client, and what users will answer at the authorization page."""

from typing import Annotated

import msgspec
from aiohttp import web

from sandbox import limits
from sandbox.control.door import ControlError
from sandbox.control.shell import PREFIX, Person, application_of, find_application, person_of, read_body
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.oauth2.authorize import SCOPES
from sandbox.oauth2.consents import Consent
from sandbox.world.applications import Application
from sandbox.world.objects import Json


class NewConsent(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/consents; the owner answers if no user is given."""

    application_id: str
    allow: bool
    user: Person | None = None
    scopes: list[str] | None = None


class ClientSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST …/oauth2."""

    redirect_uris: list[Annotated[str, msgspec.Meta(max_length=limits.URL_MAX)]]


def _client(discord: LocalDiscord, application: Application) -> Json:
    clients = discord.oauth2.clients
    return {
        "client_id": application.id,
        "client_secret": clients.secret_of(application.id),
        "redirect_uris": list(clients.redirect_uris(application.id)),
    }


async def get_client(request: web.Request) -> web.Response:
    """Answer the application's client id, its secret and its redirect URIs."""
    return answer(_client(request.app[DISCORD], application_of(request)))


async def set_client(request: web.Request) -> web.Response:
    """Register redirect URIs in place of those before."""
    discord, application, body = request.app[DISCORD], application_of(request), await read_body(request, ClientSettings)
    try:
        discord.oauth2.clients.set_redirect_uris(application.id, body.redirect_uris)
    except ValueError as error:
        raise ControlError(422, "invalid_redirect_uri", str(error)) from None
    return answer(_client(discord, application))


async def script(request: web.Request) -> web.Response:
    """Write down what a user answers to the application's next authorization request."""
    discord, body = request.app[DISCORD], await read_body(request, NewConsent)
    application = find_application(discord, body.application_id)
    unknown = set(body.scopes or ()) - SCOPES
    if unknown:
        raise ControlError(422, "invalid_scope", f"Discord has no scope {', '.join(sorted(unknown))}.")
    user = person_of(discord, body.user, application.owner)
    scopes = None if body.scopes is None else tuple(body.scopes)
    waiting = discord.oauth2.consents.script(application.id, Consent(user, body.allow, scopes))
    return answer({"waiting": waiting, "user": {"id": user.id, "username": user.username}})


_CLIENT = f"{PREFIX}/applications/{{application_id}}/oauth2"
ROUTES = [web.get(_CLIENT, get_client), web.post(_CLIENT, set_client), web.post(f"{PREFIX}/consents", script)]
