"""How a bot shows itself, in hikari's words."""

from typing import Any, Final

import hikari

from flotilla.domain.config import Doing, Presence, Status

_STATUSES: Final = {
    Status.ONLINE: hikari.Status.ONLINE,
    Status.IDLE: hikari.Status.IDLE,
    Status.DND: hikari.Status.DO_NOT_DISTURB,
    Status.INVISIBLE: hikari.Status.OFFLINE,
}
"""Discord shows a bot that says it is offline as invisible does a user."""

_TYPES: Final = {
    Doing.PLAYING: hikari.ActivityType.PLAYING,
    Doing.LISTENING: hikari.ActivityType.LISTENING,
    Doing.WATCHING: hikari.ActivityType.WATCHING,
    Doing.COMPETING: hikari.ActivityType.COMPETING,
    Doing.CUSTOM: hikari.ActivityType.CUSTOM,
}


def shown(presence: Presence) -> dict[str, Any]:
    """Return what `GatewayBot.start` and `update_presence` take of it."""
    return {"status": _STATUSES[presence.status], "activity": _activity(presence)}


def _activity(presence: Presence) -> hikari.Activity | None:
    if presence.activity is None:
        return None
    if presence.doing is Doing.CUSTOM:  # its text is its state; the name is shown nowhere
        return hikari.Activity(name="Custom Status", state=presence.activity, type=_TYPES[presence.doing])
    return hikari.Activity(name=presence.activity, type=_TYPES[presence.doing])
