"""Blocks the event loop when `/block` is used."""

import time

import lightbulb

loader = lightbulb.Loader()


@loader.command
class Block(lightbulb.SlashCommand, name="block", description="Block the event loop."):
    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        time.sleep(3600)  # noqa: ASYNC251 - the mistake that the benchmark is about
