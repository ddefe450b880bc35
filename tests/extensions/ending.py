"""Commands with which a bot ends itself, in every way there is."""

import os
import sys

import hikari
import lightbulb

loader = lightbulb.Loader()


@loader.command
class Close(lightbulb.SlashCommand, name="close", description="Close the bot."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("closing")
        app = ctx.client.app
        assert isinstance(app, hikari.GatewayBot)
        await app.close()


@loader.command
class Exit(lightbulb.SlashCommand, name="exit", description="Call sys.exit()."):
    code = lightbulb.integer("code", "its exit code")

    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        sys.exit(self.code)


@loader.command
class Leave(lightbulb.SlashCommand, name="leave", description="Call os._exit()."):
    code = lightbulb.integer("code", "its exit code")

    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        os._exit(self.code)


@loader.command
class Fault(lightbulb.SlashCommand, name="fault", description="Have the kernel send the process a signal."):
    number = lightbulb.integer("number", "which")

    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        os.kill(os.getpid(), self.number)
