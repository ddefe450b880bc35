"""OAuth2 over REST: tokens for grants, and what an access token shows of its user."""

import base64
import datetime as dt
from collections.abc import Mapping

from aiohttp import web

from sandbox.http import answer
from sandbox.local_discord import LocalDiscord
from sandbox.oauth2.authorize import read_scopes
from sandbox.oauth2.errors import OAuth2Error, missing
from sandbox.rest.identity import application_json
from sandbox.rest.shell import Caller, caller_route, check_body, open_route
from sandbox.world.applications import Application
from sandbox.world.objects import Json

_FORM = ("application/x-www-form-urlencoded",)  # documented: JSON is refused
_UNSEEN = ("bot", "bot_public", "bot_require_code_grant", "verify_key")  # of an application, beside its description
_NO_STORE = {"Cache-Control": "no-store"}  # RFC 6749 5.1


def _text(form: Mapping[str, object], name: str) -> str:
    value = form.get(name)
    if not isinstance(value, str) or not value:
        raise missing(name)
    return value


def _optional(form: Mapping[str, object], name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) else None


def _basic(header: str) -> tuple[str, str]:
    """Return the name and the password of an HTTP Basic header. Raises OAuth2Error if it is none."""
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise OAuth2Error("invalid_client", status=401) from None
    if scheme.lower() != "basic" or not colon:
        raise OAuth2Error("invalid_client", status=401)
    return name, password


def _client(request: web.Request, discord: LocalDiscord, form: Mapping[str, object]) -> Application:
    """Return the client that a request proves to be, by HTTP Basic or by its form."""
    header = request.headers.get("Authorization")
    if header is None:
        client_id, secret = _optional(form, "client_id") or "", _optional(form, "client_secret") or ""
    else:
        client_id, secret = _basic(header)
    application = discord.world.find(client_id)
    if application is None or not discord.oauth2.clients.authenticates(client_id, secret):
        raise OAuth2Error("invalid_client", status=401)
    return application


def _tokens(request: web.Request, discord: LocalDiscord, form: Mapping[str, object]) -> Json:
    """Return the tokens that a form asks for. Raises OAuth2Error."""
    application, now, grants = _client(request, discord, form), discord.clock(), discord.oauth2.grants
    kind = _optional(form, "grant_type")
    if kind == "authorization_code":
        redirect_uri, verifier = _optional(form, "redirect_uri"), _optional(form, "code_verifier")
        return grants.exchange(application.id, _text(form, "code"), redirect_uri, verifier, now)
    if kind == "refresh_token":
        return grants.refresh(application.id, _text(form, "refresh_token"), now)
    if kind == "client_credentials":
        scopes = read_scopes(_optional(form, "scope") or "")
        return grants.direct(application.id, application.owner, scopes, now)
    raise OAuth2Error("unsupported_grant_type", f"Grant type {kind} is not supported")


async def token(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Answer tokens for a grant."""
    check_body(request, _FORM)
    try:
        return answer(_tokens(request, discord, await request.post()), headers=_NO_STORE)
    except OAuth2Error as error:
        return answer(error.fields(), error.status)


async def revoke(request: web.Request, discord: LocalDiscord) -> web.Response:
    """Void all tokens of an authorization by one of them."""
    check_body(request, _FORM)
    form = await request.post()
    try:
        application = _client(request, discord, form)
        discord.oauth2.grants.revoke(application.id, _text(form, "token"))
    except OAuth2Error as error:
        return answer(error.fields(), error.status)
    return answer({})


async def preview(request: web.Request, _: LocalDiscord) -> web.Response:
    """Lead to the authorization page: without a user's login the API knows no more."""
    return web.Response(status=302, headers={"Location": f"/oauth2/authorize?{request.rel_url.raw_query_string}"})


async def my_authorization(_: web.Request, discord: LocalDiscord, caller: Caller) -> web.Response:
    """Answer what the access token is worth."""
    if caller.authorization is None:
        raise TypeError("the route is for access tokens only")
    application = application_json(discord, caller.application)
    shown = ("id", "name", "icon", "description", "type", "flags", "flags_new", *_UNSEEN)
    expires = dt.datetime.fromtimestamp(caller.authorization.expires_at, dt.UTC)
    body: Json = {
        "application": {name: application[name] for name in shown},
        "scopes": list(caller.authorization.scopes),
        "expires": expires.isoformat(),
    }
    if caller.has("identify"):
        body["user"] = caller.user.as_json()
    return answer(body)


ROUTES = [  # observed: clients expect no bucket of the token's routes
    open_route("POST", "/oauth2/token", token, bucketed=False),
    open_route("POST", "/oauth2/token/revoke", revoke, bucketed=False),
    open_route("GET", "/oauth2/authorize", preview),
    caller_route("GET", "/oauth2/@me", my_authorization, scope=None, bots=False),
]
