"""A bot that leaks: so many bytes a second, in its event loop, which goes on turning."""

import asyncio

import lightbulb

loader = lightbulb.Loader()
CHUNK_BYTES = 250_000
HOARD: list["Hoarded"] = []
LEAKS: list[asyncio.Task[None]] = []


class Hoarded:
    """Something that the heap shows by its name."""

    def __init__(self, size: int) -> None:
        self.contents = b"x" * size


@loader.command
class Leak(lightbulb.SlashCommand, name="leak", description="Leak memory, now and from now on."):
    megabytes_s = lightbulb.integer("megabytes_s", "how many megabytes a second")
    at_once = lightbulb.integer("at_once", "how many megabytes at once", default=0)

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        HOARD.append(Hoarded(self.at_once * 1_000_000))
        await ctx.respond("leaking")
        LEAKS.append(asyncio.create_task(_leak(self.megabytes_s * 1_000_000)))


async def _leak(bytes_s: int) -> None:
    loop = asyncio.get_running_loop()
    began, leaked = loop.time(), 0
    while bytes_s:
        while leaked < (loop.time() - began) * bytes_s:
            HOARD.append(Hoarded(CHUNK_BYTES))
            leaked += CHUNK_BYTES
        await asyncio.sleep(0.005)
