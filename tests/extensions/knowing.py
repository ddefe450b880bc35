"""A bot that tells what its cache knows, and what its code was handed."""

import hikari
import lightbulb

loader = lightbulb.Loader()
HANDED: list[str] = []


@loader.listener(hikari.GuildChannelCreateEvent)
async def on_channel(event: hikari.GuildChannelCreateEvent) -> None:
    """Note a channel that was made."""
    HANDED.append(str(event.channel.name))
    print(f"handed {event.channel.name}")  # noqa: T201 - the bot's log outlives the worker


@loader.command
class Know(lightbulb.SlashCommand, name="know", description="Tell what the cache knows."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context, bot: hikari.GatewayBot) -> None:
        """Answer with the names of the bot itself, and of all guilds, channels and roles."""
        cache, me = bot.cache, bot.get_me()
        guilds = sorted(guild.name for guild in cache.get_guilds_view().values())
        channels = sorted(str(channel.name) for channel in cache.get_guild_channels_view().values())
        roles = sorted(role.name for role in cache.get_roles_view().values())
        await ctx.respond(f"{me and me.username}; {guilds}; {channels}; {roles}")
