"""A bot author's mistakes, each as a slash command."""

import os
import re
import subprocess
import sys
import threading
import time

import lightbulb

loader = lightbulb.Loader()
HOARD: list[bytearray] = []
CHILDREN: list[subprocess.Popen[bytes]] = []


@loader.command
class Hoard(lightbulb.SlashCommand, name="hoard", description="Leak memory."):
    megabytes = lightbulb.integer("megabytes", "how much")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        HOARD.extend(bytearray(b"x" * 1024 * 1024) for _ in range(self.megabytes))
        await ctx.respond("hoarded")


@loader.command
class Block(lightbulb.SlashCommand, name="block", description="Block the event loop."):
    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        time.sleep(600)  # noqa: ASYNC251 - the mistake that the test is about


@loader.command
class Spin(lightbulb.SlashCommand, name="spin", description="Block the event loop with work."):
    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        count = 0
        while True:
            count += 1


@loader.command
class Catastrophe(lightbulb.SlashCommand, name="catastrophe", description="Hold the interpreter in C code."):
    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        re.fullmatch(r"(a|a)*b", "a" * 60)


@loader.command
class Flood(lightbulb.SlashCommand, name="flood", description="Write to the log without end, from a child process."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        line = "x" * 120
        CHILDREN.append(subprocess.Popen(["yes", line]))  # noqa: ASYNC220 - a flood that Python itself cannot write
        await ctx.respond("flooding")


@loader.command
class Blurt(lightbulb.SlashCommand, name="blurt", description="Print something to stdout, then say so."):
    text = lightbulb.string("text", "what")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        sys.stdout.write(f"{self.text}\n")
        await ctx.respond("printed")


@loader.command
class Leave(lightbulb.SlashCommand, name="leave", description="End the process."):
    code = lightbulb.integer("code", "its exit code")

    @lightbulb.invoke
    async def invoke(self, _ctx: lightbulb.Context) -> None:
        sys.stdout.write("leaving now\n")
        os._exit(self.code)


@loader.command
class Leak(lightbulb.SlashCommand, name="leak", description="Leak memory at a rate, for ever."):
    megabytes_per_s = lightbulb.integer("megabytes_per_s", "how fast")
    how = lightbulb.string("how", "what becomes of a MemoryError: raise, swallow, abort or thread", default="raise")

    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("leaking")
        if self.how == "thread":
            threading.Thread(target=leak, args=(self.megabytes_per_s, "raise")).start()
        else:
            leak(self.megabytes_per_s, self.how)


def leak(megabytes_per_s: int, how: str) -> None:
    began = time.monotonic()
    while True:
        try:
            HOARD.append(bytearray(b"x" * 1024 * 1024))
        except MemoryError:
            if how == "abort":
                os.abort()
            if how != "swallow":
                raise
        time.sleep(max(0.0, len(HOARD) / megabytes_per_s - (time.monotonic() - began)))
