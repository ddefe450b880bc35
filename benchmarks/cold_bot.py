"""A bot as a cold process, the way other process managers run one: `cold_bot.py TOKEN_FILE DISCORD_URL [EXTENSION …]`.

It runs the very class that a Flotilla worker runs, and imports nothing that the class does not need.
"""

import asyncio
import stat
import sys
from pathlib import Path

from flotilla.protocol import WorkerConfig, WorkerLimits
from worker_bot.bot import Bot

EXTENSIONS = ("worker_bot.extensions.core",)


def read_token(path: Path) -> str:
    """Return the token in a file. Raises PermissionError if others may read it."""
    if stat.S_IMODE(path.stat().st_mode) != 0o600:
        raise PermissionError(f"{path.name} must have mode 600")
    return path.read_text().strip()


async def main(token: str, discord_url: str, extensions: tuple[str, ...]) -> None:
    """Run until killed."""

    async def ignore() -> None:
        return

    config = WorkerConfig(discord_url, EXTENSIONS + extensions, "INFO", WorkerLimits())
    await Bot(token, config, on_ready=ignore, on_lost=ignore).run()


if __name__ == "__main__":
    asyncio.run(main(read_token(Path(sys.argv[1])), sys.argv[2], tuple(sys.argv[3:])))
