"""A bot author's mistakes, each as a slash command."""

import os
import re
import subprocess
import sys
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
