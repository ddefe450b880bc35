"""What one sandbox process carries on one core: bots, dispatches and REST requests at once, and its memory."""

import asyncio
import itertools
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.field import Field, open_field
from benchmarks.report import Result, Target, megabytes

SECONDS = 20.0
SETTLE_S = 2.0
PER_SECOND = 1_100
"""Commands a second. Each is a dispatch to its bot, a REST request back, and the dispatch of the message it makes."""
BOTS_IN_GUILD = 50
"""Besides its own, each bot is in a guild with so many others, where a user writes a message a second."""
USERS = 10
TARGET_BOTS, TARGET_DISPATCHES, TARGET_REQUESTS, TARGET_BYTES = 1_000, 3_000, 1_000, 250e6


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. cpu: the share of a core that the sandbox used, 1.0 being all of it.

    Memory in bytes: USS when all are connected, USS and RSS at the end of the load.
    """

    bots: int
    counted: dict[str, Any]
    load: dict[str, Any]
    cpu: float
    rss: int
    uss: int
    uss_connected: int

    @property
    def dispatches_per_s(self) -> float:
        """What the bots received."""
        return float(self.counted["dispatches"] / self.counted["seconds"])

    @property
    def requests_per_s(self) -> float:
        """What the bots asked and were answered."""
        return float(self.counted["callbacks"] / self.counted["seconds"])


async def measure(bots: int, seconds: float, per_second: float) -> Sample:
    """Run one sandbox on the first core, its bots on the others, and count what passes."""
    cores = sorted(os.sched_getaffinity(0))
    async with open_field(0) as field:
        sandbox = psutil.Process(field.stack.programs[0].process.pid)
        os.sched_setaffinity(sandbox.pid, {cores[0]})
        clients = await _clients(field, bots, seconds)
        try:
            os.sched_setaffinity(clients.pid, set(cores[1:]) or {cores[0]})
            await _line(clients)
            connected = sandbox.memory_full_info()
            channels = await _share_guilds(field)
            await asyncio.sleep(SETTLE_S)
            lasting = seconds + SETTLE_S
            body = {"command": "ping", "users": USERS, "per_second": per_second / USERS, "seconds": lasting}
            load = await _call(field, "/sandbox/load", body)
            broadcasting = asyncio.create_task(_chat(field, channels))
            before = sandbox.cpu_times()
            clients.stdin.write(b"go\n")  # type: ignore[union-attr]
            counted = json.loads(await _line(clients))
            after = sandbox.cpu_times()
            broadcasting.cancel()
            memory = sandbox.memory_full_info()
            cpu = (after.user + after.system - before.user - before.system) / counted["seconds"]
            await asyncio.sleep(SETTLE_S)
            async with field.client.get(f"/sandbox/load/{load['id']}") as answer:
                ended = await answer.json()
            return Sample(bots, counted, ended, cpu, memory.rss, memory.uss, connected.uss)
        finally:
            if clients.returncode is None:
                clients.kill()
            await clients.wait()


async def _clients(field: Field, bots: int, seconds: float) -> Process:
    arguments = ("-m", "benchmarks.sandbox_clients", field.stack.sandbox_url, str(bots), str(seconds))
    root, environment = Path(__file__).parents[1], os.environ | {"FLOTILLA_SANDBOX_KEY": field.stack.sandbox_key}
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=PIPE, stdout=PIPE, cwd=root, env=environment
    )


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 300)
    if not line:
        raise RuntimeError("the bots ended too soon; what they said is above")
    return line


async def _call(field: Field, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with field.client.post(path, json=body, timeout=aiohttp.ClientTimeout(60)) as answer:
        answer.raise_for_status()
        facts: dict[str, Any] = await answer.json()
        return facts


async def _share_guilds(field: Field) -> list[str]:
    """Put every bot into a guild with others; return the guilds' channels."""
    async with field.client.get("/sandbox/applications") as answer:
        ids = [item["id"] for item in (await answer.json())["items"]]
    channels = []
    for start in range(0, len(ids), BOTS_IN_GUILD):
        body = {"name": "Shared", "applications": ids[start : start + BOTS_IN_GUILD]}
        made = await _call(field, "/sandbox/guilds", body)
        channels.append(str(made["items"][0]["channels"][0]["id"]))
    return channels


async def _chat(field: Field, channels: list[str]) -> None:
    """Write a message a second into each channel."""
    began = time.monotonic()
    for number, channel_id in enumerate(itertools.cycle(channels)):
        await asyncio.sleep(max(0.0, began + number / len(channels) - time.monotonic()))
        await _call(field, f"/sandbox/channels/{channel_id}/messages", {"content": "to everyone here"})


async def run(bots: int, seconds: float) -> Result:
    """Measure the promised load with `bots` bots for `seconds`."""
    scale = bots / TARGET_BOTS
    sample = await measure(bots, seconds, PER_SECOND * scale)
    p99 = sample.load["elapsed_ms"]["p99"] if sample.load["elapsed_ms"] else float("nan")
    row = (
        str(sample.bots),
        f"{sample.dispatches_per_s:,.0f}",
        f"{sample.requests_per_s:,.0f}",
        f"{sample.cpu:.0%}",
        f"{p99:.1f} ms",
        megabytes(sample.uss_connected),
        megabytes(sample.uss),
        megabytes(sample.rss),
    )
    wanted = (TARGET_DISPATCHES * scale, TARGET_REQUESTS * scale)
    promise = f"{bots} bots, ≥ {wanted[0]:,.0f} dispatches/s, ≥ {wanted[1]:,.0f} REST/s"
    held = f"{sample.dispatches_per_s:,.0f} dispatches/s and {sample.requests_per_s:,.0f} requests/s at once"
    carried = sample.dispatches_per_s >= wanted[0] and sample.requests_per_s >= wanted[1]
    clean = not sample.counted["failures"] and not sample.load["timed_out"]
    return Result(
        f"One sandbox on one core, {bots} bots connected with zlib-stream",
        ("bots", "dispatches/s", "REST/s", "CPU of the core", "dispatch to answer p99", "USS connected", "USS", "RSS"),
        (row,),
        (
            Target(promise, held, carried and clean),
            Target("memory < 250 MB", megabytes(sample.rss), sample.rss < TARGET_BYTES),
        ),
        {"counted": sample.counted, "load": sample.load, "cpu": sample.cpu, "rss": sample.rss, "uss": sample.uss},
    )
