"""Application commands over REST, global and of a guild."""

from aiohttp import web

from sandbox import errors
from sandbox.errors import DiscordError
from sandbox.http import answer, boolean_query, read_list, read_object
from sandbox.local_discord import LocalDiscord
from sandbox.rest.shell import Handler, bot_route
from sandbox.world.applications import Application
from sandbox.world.objects import Json

_GLOBAL = "/applications/{application_id}/commands"
_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"


def _scope(request: web.Request, discord: LocalDiscord, application: Application) -> str | None:
    if request.match_info["application_id"] != application.id:
        raise DiscordError(errors.NOT_YOUR_APPLICATION)
    guild_id = request.match_info.get("guild_id")
    return None if guild_id is None else discord.world.guild_for(application, guild_id).id


async def list_commands(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer all commands of the scope."""
    commands = application.commands.of(_scope(request, discord, application))
    if boolean_query(request, "with_localizations"):
        return answer(commands)
    return answer([_without_localizations(command) for command in commands])


def _without_localizations(command: Json) -> Json:
    """Discord lists localizations only when asked to (documented: Get Global Application Commands)."""
    return {key: value for key, value in command.items() if not key.endswith("_localizations")}


async def get_command(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer one command."""
    return answer(application.commands.get(_scope(request, discord, application), request.match_info["command_id"]))


async def create_command(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Create a command (201) or overwrite the one of the same name (200)."""
    scope, body = _scope(request, discord, application), await read_object(request)
    command, is_new = application.commands.create(application.id, scope, body, discord.ids, discord.clock())
    return answer(command, 201 if is_new else 200)


async def edit_command(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Change a command."""
    scope, body = _scope(request, discord, application), await read_object(request)
    command_id = request.match_info["command_id"]
    return answer(application.commands.edit(scope, command_id, body, discord.ids, discord.clock()))


async def delete_command(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Delete a command."""
    application.commands.delete(_scope(request, discord, application), request.match_info["command_id"])
    return web.Response(status=204)


async def overwrite_commands(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Replace all commands of the scope."""
    scope, bodies = _scope(request, discord, application), await read_list(request)
    return answer(application.commands.overwrite(application.id, scope, bodies, discord.ids, discord.clock()))


async def list_permissions(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Answer the permissions that a guild's staff set for commands: none, since only a user's token can set them."""
    _scope(request, discord, application)
    return answer([])


async def get_permissions(request: web.Request, discord: LocalDiscord, application: Application) -> web.Response:
    """Refuse with 10066: nobody has set permissions for the command."""
    scope, command_id = _scope(request, discord, application), request.match_info["command_id"]
    if all(each["id"] != command_id for each in application.commands.of(None)):
        application.commands.get(scope, command_id)
    raise DiscordError(errors.UNKNOWN_COMMAND_PERMISSIONS)


_OF_SCOPE: list[tuple[str, str, Handler]] = [
    ("GET", "", list_commands),
    ("POST", "", create_command),
    ("PUT", "", overwrite_commands),
    ("GET", "/{command_id}", get_command),
    ("PATCH", "/{command_id}", edit_command),
    ("DELETE", "/{command_id}", delete_command),
]
ROUTES = [
    bot_route("GET", _GUILD + "/permissions", list_permissions),
    bot_route("GET", _GUILD + "/{command_id}/permissions", get_permissions),
    *(bot_route(method, base + path, handler) for base in (_GLOBAL, _GUILD) for method, path, handler in _OF_SCOPE),
]
