"""The commands every bot answers."""

import time

import lightbulb

loader = lightbulb.Loader()


@loader.command
class Ping(lightbulb.SlashCommand, name="ping", description="Show that the bot is alive and how quickly it answers."):
    """Answers with the time from Discord's creation of the interaction to now, in milliseconds."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer. A clock that is behind Discord's shows as 0 ms rather than as a negative number."""
        age_ms = max(0.0, (time.time() - ctx.interaction.created_at.timestamp()) * 1000)
        await ctx.respond(f"Pong! {age_ms:.0f} ms")
