"""Commands of an application that its bot's code does not have, as Discord has them.

A bulk overwrite takes away what it leaves out, so they are sent along, field by field as Discord told them: hikari and
lightbulb know neither Entry Point commands nor all translations. It asks through hikari's private `_request`, for
hikari's own way drops what it does not know; a contract test pins that.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

import hikari
from hikari.internal import routes

ENTRY_POINT: Final = 4
"""Discord, Application Command Types: it launches an app's Activity. No code registers it, and there is one at most."""

_SENT: Final = (
    "id",
    "type",
    "name",
    "name_localizations",
    "description",
    "description_localizations",
    "options",
    "default_member_permissions",
    "dm_permission",
    "contexts",
    "integration_types",
    "nsfw",
    "handler",
)
"""What Discord takes of what it tells (Bulk Overwrite Global Application Commands)."""


class Foreign:
    """One of them, as far as hikari's bulk overwrite needs a builder of it."""

    def __init__(self, command: dict[str, Any]) -> None:
        self.type, self.name = int(command["type"]), str(command["name"])
        self._sent = {key: command[key] for key in _SENT if command.get(key) is not None}

    def build(self, _factory: object) -> dict[str, Any]:
        """Return what is sent."""
        return self._sent


async def foreign(
    rest: Any,  # noqa: ANN401 - hikari's client, by its private side
    application: hikari.Snowflake,
    guild: hikari.UndefinedOr[hikari.Snowflake],
    own: Collection[tuple[int, str]],
) -> list[Foreign]:
    """Return the commands that are registered in a scope and not among `own` (type, name). Raises as hikari's REST."""
    if guild is hikari.UNDEFINED:
        route = routes.GET_APPLICATION_COMMANDS.compile(application=application)
    else:
        route = routes.GET_APPLICATION_GUILD_COMMANDS.compile(application=application, guild=guild)
    found = await rest._request(route, query={"with_localizations": "true"})
    return [each for each in _read(found) if (each.type, each.name) not in own]


def entry_points(commands: Iterable[Foreign]) -> list[Foreign]:
    """Return those that every bulk overwrite must name: without them Discord refuses it as a whole (50240)."""
    return [each for each in commands if each.type == ENTRY_POINT]


def _read(found: object) -> list[Foreign]:
    rows = found if isinstance(found, list) else ()
    return [Foreign(row) for row in rows if isinstance(row, dict) and {"type", "name"} <= row.keys()]
