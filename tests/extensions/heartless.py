"""Commands with which a bot's code breaks what its worker does beside it."""

from typing import NoReturn

import lightbulb

from worker_bot.cache_keeper import CacheKeeper
from worker_bot.probes import Probes

loader = lightbulb.Loader()


def broken(*_: object) -> NoReturn:
    raise OSError("broken by the bot's own code")


@loader.command
class Heart(lightbulb.SlashCommand, name="heart", description="Break the heartbeat."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("broken")
        Probes.look = broken  # type: ignore[assignment]


@loader.command
class Session(lightbulb.SlashCommand, name="session", description="Break the keeping of the session."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("broken")
        CacheKeeper.tend = broken  # type: ignore[assignment]
