"""Crashes a moment after READY: what a bot does whose code fails on what Discord sends it first."""

import asyncio
import os

import hikari
import lightbulb

AFTER_S = 0.1
"""Late enough that its manager has learned that it was READY."""

loader = lightbulb.Loader()


@loader.listener(hikari.ShardReadyEvent, hikari.ShardResumedEvent)
async def crash(_event: hikari.Event) -> None:
    """End the process as a fault in C code would, without a goodbye to Discord."""
    await asyncio.sleep(AFTER_S)
    os._exit(1)
