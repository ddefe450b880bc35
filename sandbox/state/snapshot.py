"""All that Discord would keep, as bytes and back. Pure.

Not in it, since Discord forgets it or a test sets it anew: sessions, interactions, rate limits, faults, loads; and the
contents of files and the sign-ins of people, which are too large or too small a matter.
"""

from typing import Any

import msgspec

from sandbox.commands.book import CommandBook
from sandbox.local_discord import LocalDiscord
from sandbox.messages.reactions import Reaction
from sandbox.messages.store import KeptNonce
from sandbox.messages.webhooks import Webhook
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, Guild
from sandbox.world.objects import Json
from sandbox.world.users import User


class _Snapshot(msgspec.Struct):
    """last_id, ahead_s: where ids and the clock stand. messages: of all channels, oldest first."""

    last_id: int
    ahead_s: float
    users: list[User]
    applications: list[Application]
    guilds: list[Guild]
    private_channels: list[Channel]
    webhooks: list[Webhook]
    messages: list[Json]
    nonces: list[KeptNonce]
    reactions: dict[str, dict[str, Reaction]]
    pins: dict[str, dict[str, float]]
    redirect_uris: dict[str, tuple[str, ...]]


def taken(discord: LocalDiscord) -> bytes:
    """Return what is to be kept as it is at this moment."""
    world, messages = discord.world, discord.messages
    kept = messages.latest()
    ids = {message["id"] for message in kept}
    return _ENCODER.encode(
        _Snapshot(
            last_id=discord.ids.last,
            ahead_s=discord.clock.ahead_s,
            users=list(world.users.values()),
            applications=list(world),
            guilds=list(world.guilds.values()),
            private_channels=world.private_channels(),
            webhooks=discord.webhooks.all(),
            messages=kept,
            nonces=messages.nonces(ids),
            reactions=messages.reactions.of(ids),
            pins=messages.pins.all(),
            redirect_uris=discord.oauth2.clients.all_redirect_uris(),
        )
    )


def restore(discord: LocalDiscord, body: bytes) -> None:
    """Put what was `taken` into a Discord in which nothing has happened yet.

    Raises ValueError if it is none, and then has changed nothing.
    """
    try:
        found = _DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    discord.ids.go_on_from(found.last_id)
    discord.clock.advance(found.ahead_s)
    discord.world.restore(found.applications, found.users, found.guilds, found.private_channels)
    for webhook in found.webhooks:
        discord.webhooks.add(webhook)
    for message in found.messages:
        discord.messages.keep(message)
    discord.messages.restore_nonces(found.nonces)
    discord.messages.reactions.restore(found.reactions)
    discord.messages.pins.restore(found.pins)
    for application_id, uris in found.redirect_uris.items():
        discord.oauth2.clients.set_redirect_uris(application_id, list(uris))


def _plain(value: object) -> object:
    if isinstance(value, CommandBook):
        return value.kept()
    raise NotImplementedError(type(value))


def _made(kind: type, value: Any) -> object:  # noqa: ANN401 - anything that was read
    if kind is CommandBook:
        return CommandBook.restored(value)
    raise NotImplementedError(kind)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_DECODER = msgspec.msgpack.Decoder(_Snapshot, dec_hook=_made)
