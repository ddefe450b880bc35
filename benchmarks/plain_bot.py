"""A bot of hikari and lightbulb alone, with the command of Flotilla's bots: `plain_bot.py TOKEN_FILE DISCORD_URL`.

It knows nothing of Flotilla: what it takes to answer is what guard, logs and probes are measured against.
"""

import stat
import sys
import time
from pathlib import Path

import hikari
import lightbulb


def read_token(path: Path) -> str:
    """Return the token in a file. Raises PermissionError if others may read it."""
    if stat.S_IMODE(path.stat().st_mode) != 0o600:
        raise PermissionError(f"{path.name} must have mode 600")
    return path.read_text().strip()


class Ping(lightbulb.SlashCommand, name="ping", description="Show that the bot is alive and how quickly it answers."):
    """As worker_bot.extensions.core has it."""

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        """Answer."""
        age_ms = max(0.0, (time.time() - ctx.interaction.created_at.timestamp()) * 1000)
        await ctx.respond(f"Pong! {age_ms:.0f} ms")


def main() -> None:
    """Run until killed."""
    bot = hikari.GatewayBot(
        read_token(Path(sys.argv[1])),
        rest_url=sys.argv[2],
        banner=None,
        logs="WARNING",
        # As Flotilla's bots have it. As it comes, hikari makes a new connection for each request.
        http_settings=hikari.impl.HTTPSettings(force_close_transports=False),
    )
    client = lightbulb.client_from_app(bot)
    client.register(Ping)
    bot.subscribe(hikari.StartingEvent, client.start)
    bot.run(check_for_updates=False)


if __name__ == "__main__":
    main()
