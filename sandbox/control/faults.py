"""Control calls for faults on demand: ask for them, see how often they struck, take them away."""

import logging
import secrets
from typing import Any

import msgspec
from aiohttp import web

from sandbox import limits
from sandbox.control.door import ControlError
from sandbox.control.shell import read_body
from sandbox.faults import kinds
from sandbox.faults.book import Entry, FaultBook, State
from sandbox.faults.gateway import GatewayFaults
from sandbox.http import DISCORD, answer

BOOK: web.AppKey[FaultBook] = web.AppKey("faults", FaultBook)
GATEWAY_FAULTS: web.AppKey[GatewayFaults] = web.AppKey("gateway_faults", GatewayFaults)
_log = logging.getLogger(__name__)
_SEEDS = 1 << 32


async def add(request: web.Request) -> web.Response:
    """Add a fault; answer it with its id, its seed and all of its values."""
    try:
        fault = kinds.parse(await read_body(request, dict[str, Any]))
    except kinds.FaultRefusedError as error:
        raise ControlError(422, "invalid_fault", str(error)) from None
    discord = request.app[DISCORD]
    for application_id in fault.applications or ():
        if discord.world.find(application_id) is None:
            raise ControlError(404, "unknown_application", f"No application {application_id} here.")
    if sum(not entry.over for entry in request.app[BOOK]) >= limits.FAULTS_MAX:
        message = f"There are {limits.FAULTS_MAX} faults already; DELETE /sandbox/faults ends them."
        raise ControlError(422, "too_many_faults", message)
    entry = request.app[BOOK].add(fault, secrets.randbelow(_SEEDS), discord.clock())
    _log.warning("fault %d: %s with seed %d", entry.id, fault.__struct_config__.tag, entry.seed)
    request.app[GATEWAY_FAULTS].advance()
    return answer(_describe(entry, discord.clock()), 201)


async def every(request: web.Request) -> web.Response:
    """Answer the faults that are scheduled or active, and those over not long ago."""
    now = request.app[DISCORD].clock()
    return answer({"items": [_describe(entry, now) for entry in request.app[BOOK]]})


async def kinds_there_are(_: web.Request) -> web.Response:
    """Answer every kind of fault, with its fields."""
    return answer({"items": [kinds.describe(kind) for kind in kinds.KINDS.values()]})


async def remove(request: web.Request) -> web.Response:
    """End a fault now; answer it."""
    fault_id = request.match_info["fault_id"]
    entry = request.app[BOOK].remove(int(fault_id)) if fault_id.isdecimal() else None
    if entry is None:
        raise ControlError(404, "unknown_fault", f"No fault {fault_id}; GET /sandbox/faults lists those there are.")
    return answer(_end(request, entry))


async def remove_all(request: web.Request) -> web.Response:
    """End all faults now; answer them."""
    book = request.app[BOOK]
    entries = [entry for entry in book if book.remove(entry.id)]
    return answer({"items": [_end(request, entry) for entry in entries]})


def _end(request: web.Request, entry: Entry) -> dict[str, Any]:
    entry.over = True
    faults = request.app[GATEWAY_FAULTS]
    faults.mend(entry)
    faults.advance()
    return _describe(entry, request.app[DISCORD].clock())


def _describe(entry: Entry, now: float) -> dict[str, Any]:
    state = entry.state(now)
    left_s = round(entry.ends_at - now, 3) if entry.ends_at < float("inf") and state is not State.OVER else None
    values: dict[str, Any] = msgspec.to_builtins(entry.fault) | {"seed": entry.seed}
    return {"id": entry.id, "state": state, "waves": entry.waves, "struck": entry.struck, "left_s": left_s} | values


ROUTES = [
    web.post("/sandbox/faults", add),
    web.get("/sandbox/faults", every),
    web.get("/sandbox/faults/kinds", kinds_there_are),
    web.delete("/sandbox/faults", remove_all),
    web.delete("/sandbox/faults/{fault_id}", remove),
]
