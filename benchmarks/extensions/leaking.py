"""Leaks 100 MB a second from when `/leak` is used: touched memory, in the event loop, which goes on turning."""

import asyncio

import lightbulb

BYTES_PER_S = 100_000_000
CHUNK_BYTES = 1_000_000
PAUSE_S = 0.01

loader = lightbulb.Loader()
HOARD: list[bytes] = []
LEAKS: list[asyncio.Task[None]] = []


@loader.command
class Leak(lightbulb.SlashCommand, name="leak", description="Leak memory until killed."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        LEAKS.append(asyncio.create_task(_leak()))
        await ctx.respond("leaking")


async def _leak() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        due = int((loop.time() - began) * BYTES_PER_S / CHUNK_BYTES)
        HOARD.extend(b"x" * CHUNK_BYTES for _ in range(due - len(HOARD)))
        await asyncio.sleep(PAUSE_S)
