"""A bot whose code ends its process right after READY, each time."""

import os

import hikari
import lightbulb

loader = lightbulb.Loader()


@loader.listener(hikari.ShardReadyEvent, hikari.ShardResumedEvent)
async def leave(_: hikari.Event, /) -> None:
    """End as an error in C code would: nothing is closed."""
    os._exit(1)
