"""A bot that starts a process which leaves: no parent, no environment, a session of its own."""

import subprocess

import hikari
import lightbulb

loader = lightbulb.Loader()


@loader.listener(hikari.StartedEvent)
async def leave(_event: hikari.StartedEvent) -> None:
    # It returns at once.
    subprocess.run(["/bin/sh", "-c", "/bin/sleep 36061 &"], env={}, start_new_session=True, check=True)  # noqa: ASYNC221
