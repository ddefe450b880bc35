"""Control calls for limits: what is enforced, and the budget of invalid requests of each IP address."""

import ipaddress

import msgspec
from aiohttp import web

from sandbox import limits
from sandbox.control.door import ControlError
from sandbox.control.shell import PREFIX, read_body
from sandbox.http import DISCORD, answer
from sandbox.local_discord import LocalDiscord
from sandbox.world.objects import Json, timestamp


class Enforced(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/limits; what is not given stays as it is."""

    routes: bool | None = None
    global_: bool | None = msgspec.field(default=None, name="global")
    hidden: bool | None = None
    invalid_requests: bool | None = None
    invalid_requests_max: int | None = None
    invalid_requests_window_s: float | None = None
    ban_s: float | None = None


class AddressChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/addresses/ADDRESS; `ban_s` null lifts the ban."""

    invalid_requests: int | msgspec.UnsetType = msgspec.UNSET
    ban_s: float | msgspec.UnsetType | None = msgspec.UNSET


def _limits(discord: LocalDiscord) -> Json:
    limiter, rules = discord.rate_limiter, discord.addresses.rules
    return {
        "routes": limiter.routes_limited,
        "global": limiter.global_limited,
        "hidden": limiter.hidden_limited,
        "invalid_requests": rules.enforced,
        "invalid_requests_max": rules.limit,
        "invalid_requests_window_s": rules.window_s,
        "ban_s": rules.ban_s,
    }


async def get_limits(request: web.Request) -> web.Response:
    """Answer which limits are enforced."""
    return answer(_limits(request.app[DISCORD]))


async def set_limits(request: web.Request) -> web.Response:
    """Turn limits on or off, or set the numbers of the budget of invalid requests."""
    discord, body = request.app[DISCORD], await read_body(request, Enforced)
    for name in ("invalid_requests_max", "invalid_requests_window_s", "ban_s"):
        value = getattr(body, name)
        if value is not None and not 0 < value <= limits.FAR_AHEAD_S:
            raise ControlError(422, "invalid_limit", f"{name} must be above 0, {limits.FAR_AHEAD_S:.0f} at most.")
    limiter, rules = discord.rate_limiter, discord.addresses.rules
    for owner, field, value in (
        (limiter, "routes_limited", body.routes),
        (limiter, "global_limited", body.global_),
        (limiter, "hidden_limited", body.hidden),
        (rules, "enforced", body.invalid_requests),
        (rules, "limit", body.invalid_requests_max),
        (rules, "window_s", body.invalid_requests_window_s),
        (rules, "ban_s", body.ban_s),
    ):
        if value is not None:
            setattr(owner, field, value)
    return answer(_limits(discord))


def _describe(discord: LocalDiscord, address: str) -> Json:
    now = discord.clock()
    known = discord.addresses.get(address, now)
    return {
        "address": address,
        "invalid_requests": known.total,
        "limit": discord.addresses.rules.limit,
        "banned_until": timestamp(known.banned_until) if known.banned_until > now else None,
        "by_application": known.by_application(),
    }


async def list_addresses(request: web.Request) -> web.Response:
    """Answer every address with invalid requests in the window, or with a ban."""
    discord = request.app[DISCORD]
    discord.addresses.prune(discord.clock())
    return answer({"items": [_describe(discord, address) for address in discord.addresses]})


async def set_address(request: web.Request) -> web.Response:
    """Set the count of an address, ban it, or lift its ban."""
    discord, body = request.app[DISCORD], await read_body(request, AddressChange)
    try:
        address = str(ipaddress.ip_address(request.match_info["address"]))
    except ValueError:
        raise ControlError(422, "invalid_address", "The path must end with an IP address.") from None
    now = discord.clock()
    if isinstance(body.invalid_requests, int):
        if body.invalid_requests < 0:
            raise ControlError(422, "invalid_limit", "invalid_requests must not be negative.")
        discord.addresses.set_invalid(address, body.invalid_requests, now)
    if body.ban_s is None:
        discord.addresses.lift(address)
    elif isinstance(body.ban_s, float):
        if not 0 < body.ban_s <= limits.FAR_AHEAD_S:
            message = f"ban_s must be above 0, {limits.FAR_AHEAD_S:.0f} at most, or null to lift the ban."
            raise ControlError(422, "invalid_limit", message)
        discord.addresses.ban(address, body.ban_s, now)
    return answer(_describe(discord, address))


ROUTES = [
    web.get(f"{PREFIX}/limits", get_limits),
    web.post(f"{PREFIX}/limits", set_limits),
    web.get(f"{PREFIX}/addresses", list_addresses),
    web.post(f"{PREFIX}/addresses/{{address}}", set_address),
]
