"""A bot with helper processes: in its own process group, in another one, and one that begins when it is told to end."""

import subprocess

import hikari
import lightbulb

loader = lightbulb.Loader()


@loader.listener(hikari.StartedEvent)
async def beget(_: hikari.StartedEvent, /) -> None:
    """Start them."""
    for group in (None, 0):
        subprocess.Popen(["sleep", "86400"], process_group=group)  # noqa: ASYNC220


@loader.listener(hikari.StoppingEvent)
async def beget_at_the_end(_: hikari.StoppingEvent, /) -> None:
    """Start one that nobody could have seen before."""
    subprocess.Popen(["sleep", "86401"])  # noqa: ASYNC220
