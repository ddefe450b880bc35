"""A bot that goes on asking what Discord refuses, as slash commands."""

import asyncio
import os

import hikari
import lightbulb

loader = lightbulb.Loader()
TASKS: set[asyncio.Task[None]] = set()
HELD_BACK: list[str] = []


async def hammer(rest: hikari.api.RESTClient, channel_id: int, per_second: float) -> None:
    while True:
        try:
            await rest.create_message(channel_id, "knock, knock")
        except hikari.RateLimitTooLongError as error:
            HELD_BACK.append(error.message)
        except hikari.HTTPError:
            pass
        await asyncio.sleep(1 / per_second)


@loader.command
class Hammer(lightbulb.SlashCommand, name="hammer", description="Send to many channels for ever, refused or not."):
    channels = lightbulb.integer("channels", "to how many", default=10)
    per_second = lightbulb.integer("per_second", "how often to each", default=20)

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        rest = ctx.client.rest
        for number in range(1, self.channels + 1):
            TASKS.add(asyncio.create_task(hammer(rest, number, self.per_second)))
        await ctx.respond(f"hammering as {os.getpid()}")


@loader.command
class Held(lightbulb.SlashCommand, name="held", description="Say how many requests were held back, in a follow-up."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.defer()
        await ctx.respond(f"{len(HELD_BACK)} held back: {HELD_BACK[-1] if HELD_BACK else ''}")


@loader.command
class Send(lightbulb.SlashCommand, name="send", description="Send a message to this channel."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.client.rest.create_message(ctx.channel_id, "hello")
        await ctx.respond("sent")
