"""Control calls for load: start one, see how it stands, stop it."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from sandbox import acting, changes, limits
from sandbox.control.door import ControlError
from sandbox.control.shell import PREFIX, find_application, read_body
from sandbox.http import DISCORD, answer
from sandbox.interactions import acts
from sandbox.load.load import Load, Plan, Target
from sandbox.local_discord import LocalDiscord
from sandbox.world.applications import Application
from sandbox.world.users import User

_STEP_S = 0.005


class NewLoad(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /sandbox/load: `users`, each `per_second` commands a second, over `applications` (absent: all)."""

    command: str
    options: dict[str, Any] = {}
    users: int = 10
    per_second: float = 1.0
    seconds: float = 10.0
    applications: list[str] | None = None
    seed: int | None = None


class Loads:
    """The loads of one sandbox, the last ones that ended included."""

    def __init__(self) -> None:
        self.by_id: OrderedDict[int, Load] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, discord: LocalDiscord, plan: Plan, targets: list[Target]) -> Load:
        """Start a load; raise ControlError if too many go on."""
        if len(self._tasks) >= limits.LOADS_MAX:
            raise ControlError(409, "too_many_loads", f"{limits.LOADS_MAX} loads go on; DELETE one, or wait.")
        load = Load(next(reversed(self.by_id), 0) + 1, plan, discord, targets, discord.clock())
        self.by_id[load.id] = load
        while len(self.by_id) > limits.LOADS_KEPT:
            self.by_id.popitem(last=False)
        task = asyncio.create_task(_run(load))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return load

    async def close(self) -> None:
        """End all loads at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _run(load: Load) -> None:
    while load.step(load.discord.clock()):  # noqa: ASYNC110 - a schedule: nothing signals that the next one is due
        await asyncio.sleep(_STEP_S)


LOADS: web.AppKey[Loads] = web.AppKey("loads", Loads)


async def context(app: web.Application) -> AsyncIterator[None]:
    """Keep the loads of an application while it is served."""
    app[LOADS] = Loads()
    yield
    await app[LOADS].close()


async def start(request: web.Request) -> web.Response:
    """Start a load."""
    discord, body = request.app[DISCORD], await read_body(request, NewLoad)
    seed = secrets.randbits(32) if body.seed is None else body.seed
    plan = Plan(body.command, body.options, body.users, body.per_second, body.seconds, seed)
    if min(plan.users, plan.per_second, plan.seconds) <= 0 or plan.total > limits.LOAD_COMMANDS_MAX:
        message = f"users, per_second and seconds must be above 0, and {limits.LOAD_COMMANDS_MAX} commands at most."
        raise ControlError(422, "invalid_load", message)
    applications = _applications(discord, body)
    people = [discord.world.new_person(f"user-{number + 1}", discord.clock()) for number in range(plan.users)]
    targets = [_target(discord, application, people, plan) for application in applications]
    load = request.app[LOADS].start(discord, plan, targets)
    return answer(load.as_json(discord.clock()), 201)


def _applications(discord: LocalDiscord, body: NewLoad) -> list[Application]:
    if body.applications is not None:
        found = [find_application(discord, each) for each in body.applications]
    else:
        found = [application for application in discord.world if discord.sessions.clients_of(application.id)]
    if not found:
        raise ControlError(409, "nobody_connected", "No bot is connected; name applications, or start a bot first.")
    return found


def _target(discord: LocalDiscord, application: Application, people: list[User], plan: Plan) -> Target:
    """Let the users join the bot's home guild; raise ActError if they could not use the command there."""
    place = acting.place_of(discord, discord.world.channels[application.home_channel_id])
    guild = discord.world.guilds[application.home_guild_id]
    for person in people:
        changes.join(discord, guild, person, [])
    acts.use_command(application, place, people[0], plan.command, plan.options)
    return Target(application, place, people)


async def list_loads(request: web.Request) -> web.Response:
    """Answer all loads that are remembered, oldest first."""
    now = request.app[DISCORD].clock()
    return answer({"items": [load.as_json(now) for load in request.app[LOADS].by_id.values()]})


def _load(request: web.Request) -> Load:
    number = request.match_info["load_id"]
    load = request.app[LOADS].by_id.get(int(number)) if number.isdecimal() else None
    if load is None:
        raise ControlError(404, "unknown_load", f"No load {number}; GET {PREFIX}/load lists them.")
    return load


async def get_load(request: web.Request) -> web.Response:
    """Answer how a load stands."""
    return answer(_load(request).as_json(request.app[DISCORD].clock()))


async def stop_load(request: web.Request) -> web.Response:
    """Stop a load and answer how it stands."""
    load, now = _load(request), request.app[DISCORD].clock()
    load.stop(now)
    return answer(load.as_json(now))


ROUTES = [
    web.get(f"{PREFIX}/load", list_loads),
    web.post(f"{PREFIX}/load", start),
    web.get(f"{PREFIX}/load/{{load_id}}", get_load),
    web.delete(f"{PREFIX}/load/{{load_id}}", stop_load),
]
