"""A bot author's mistakes, each as a slash command."""

import time

import lightbulb

loader = lightbulb.Loader()
HOARD: list[bytearray] = []


@loader.command
class Hoard(lightbulb.SlashCommand, name="hoard", description="Leak memory."):
    megabytes = lightbulb.integer("megabytes", "how much")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        HOARD.extend(bytearray(b"x" * 1024 * 1024) for _ in range(self.megabytes))
        await ctx.respond("hoarded")


@loader.command
class Block(lightbulb.SlashCommand, name="block", description="Block the event loop."):
    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        time.sleep(600)  # noqa: ASYNC251 - the mistake that the test is about
