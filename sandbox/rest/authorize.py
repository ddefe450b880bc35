"""The authorization page, on the site and not below the API: a scripted answer, or two buttons."""

import html
from collections.abc import Mapping

from aiohttp import web

from sandbox import limits
from sandbox.http import DISCORD
from sandbox.local_discord import LocalDiscord
from sandbox.oauth2.authorize import Asked, read, redirect_uri_of, redirect_url
from sandbox.oauth2.consents import Consent
from sandbox.oauth2.errors import ACCESS_DENIED, OAuth2Error
from sandbox.world.applications import Application
from sandbox.world.users import User

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Authorize {name}</title></head>
<body><h1>{name} wants to access your account</h1>
<ul>{scopes}</ul>
<form method="post">
<p><label>User name <input name="username" value="{username}"></label></p>
<p><button name="decision" value="allow">Authorize</button> <button name="decision" value="deny">Cancel</button></p>
</form></body></html>
"""
_FAULT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Authorize</title></head><body><p>{message}</p></body></html>
"""


async def authorize(request: web.Request) -> web.Response:
    """Send the browser back with a scripted answer; without one, show the page and take its answer."""
    discord, query = request.app[DISCORD], request.query
    application = discord.world.find(query.get("client_id", ""))
    if application is None:
        return _fault("Unknown Application")
    try:
        redirect_uri = redirect_uri_of(query, discord.oauth2.clients.redirect_uris(application.id))
    except ValueError as error:
        return _fault(str(error))
    try:
        asked = read(query, application.id, redirect_uri)
    except OAuth2Error as error:
        return _redirect(redirect_url(redirect_uri, query.get("state"), error.fields()))
    consent = await _consent(request, discord, application, asked)
    return _show(application, asked) if consent is None else _answered(discord, asked, consent)


async def _consent(
    request: web.Request, discord: LocalDiscord, application: Application, asked: Asked
) -> Consent | None:
    """Return the user's answer, None if there is none yet."""
    if request.method == "POST":
        form = await request.post()
        user = _named(discord, application, form.get("username"))
        return Consent(user, form.get("decision") == "allow")
    scripted = discord.oauth2.consents.next(application.id)
    if scripted is not None:
        return scripted
    owner = application.owner
    if asked.prompt == "none" and discord.oauth2.grants.has_granted(application.id, owner, asked.scopes):
        return Consent(owner, allow=True)
    return None


def _named(discord: LocalDiscord, application: Application, name: object) -> User:
    """Return the person of this name, made if there is none; the owner if no name is given."""
    if not isinstance(name, str) or not name.strip() or name == application.owner.username:
        return application.owner
    name = name[: limits.USERNAME_MAX]
    known = (user for user in discord.world.users.values() if user.username == name and not user.bot)
    return next(known, None) or discord.world.new_person(name, discord.clock())


def _answered(discord: LocalDiscord, asked: Asked, consent: Consent) -> web.Response:
    scopes = consent.granted(asked.scopes)
    if not consent.allow or not scopes:
        return _redirect(asked.url(OAuth2Error("access_denied", ACCESS_DENIED).fields()))
    now, fields = discord.clock(), dict[str, str]()
    if asked.implicit:
        tokens: Mapping[str, object] = discord.oauth2.grants.direct(asked.application_id, consent.user, scopes, now)
        fields = {name: str(value) for name, value in tokens.items()}
    else:
        fields = {"code": discord.oauth2.grants.code(asked, consent.user, scopes, now)}
    return _redirect(asked.url(fields))


def _show(application: Application, asked: Asked) -> web.Response:
    page = _PAGE.format(
        name=html.escape(application.bot.username),
        scopes="".join(f"<li>{scope}</li>" for scope in asked.scopes),
        username=html.escape(application.owner.username),
    )
    return web.Response(text=page, content_type="text/html")


def _fault(message: str) -> web.Response:
    return web.Response(text=_FAULT.format(message=html.escape(message)), content_type="text/html", status=400)


def _redirect(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url})


ROUTES = [web.get("/oauth2/authorize", authorize), web.post("/oauth2/authorize", authorize)]
