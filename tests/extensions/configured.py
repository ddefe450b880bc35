"""A bot that tells what is set for it, and does not take everything."""

from typing import Any

import lightbulb

from worker_bot import authoring

loader = lightbulb.Loader()
NAME = "tests.extensions.configured"


def take(settings: dict[str, Any]) -> None:
    """Refuse a number of rows that makes no sense."""
    if settings.get("rows", 1) < 1:
        raise ValueError("rows must be at least 1")


authoring.on_settings(NAME, take)


@loader.command
class Told(lightbulb.SlashCommand, name="told", description="Tell what is set."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer with the settings for all, and those that hold in this guild."""
        here = await authoring.guild_settings(NAME, ctx.guild_id or 0)
        await ctx.respond(f"{authoring.settings(NAME)}; {here}")
