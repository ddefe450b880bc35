"""What a bot takes in memory by what its cache keeps, in many guilds with many people; and with one guild alone."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import Footprint
from benchmarks.report import Result, Target, megabytes
from flotilla.db.configs import SqlConfigs
from flotilla.domain.config import Cache
from flotilla.domain.intents import INTENTS, UNPRIVILEGED
from tests.stack import Stack

GUILDS, MEMBERS = 200, 50
SHAPES = ((0, 0, 0), (GUILDS, 1, 0), (GUILDS, 20, 10))
"""Guilds besides its own, channels and roles in each. Commands know guilds by these, so a cache keeps them."""

QUICK_SHAPES = ((2, 1, 0),)
SETTLE_S = 6.0
"""Long enough for the cache's snapshot, which gives memory back."""

TARGET_USS_BYTES = 18e6

CONFIGS: dict[Cache, dict[str, Any]] = {
    Cache.NONE: {"cache": "none"},
    Cache.LEAN: {"cache": "lean"},
    Cache.MEMBERS: {"cache": "members", "intents": [*UNPRIVILEGED, "GUILD_MEMBERS"]},
    Cache.FULL: {"cache": "full", "intents": list(INTENTS)},
}


async def measure(guilds: int, channels: int, roles: int) -> dict[Cache, Footprint]:
    """Run a bot of each profile, all in the same `guilds` guilds, and measure each at rest."""
    with tempfile.TemporaryDirectory() as folder:
        stack = await Stack.create(Path(folder), poll_interval_s="0.1")
        try:
            await stack.start_sandbox()
            configs, ids = SqlConfigs(stack.database), {}
            for cache, config in CONFIGS.items():
                ids[cache] = await stack.add_bot(cache.value)
                await configs.change(ids[cache], config, "benchmark")
            applications = (await stack.sandbox("GET", "/applications"))["items"]
            if guilds:
                everybody = [application["id"] for application in applications]
                names = {"channels": [f"c{n}" for n in range(channels)], "roles": [f"r{n}" for n in range(roles)]}
                size = {"count": guilds, "members": MEMBERS}
                await stack.sandbox("POST", "/guilds", name="guild", applications=everybody, **size, **names)
            await stack.start_supervisor()
            await stack.all_ready(len(ids))
            await asyncio.sleep(SETTLE_S)
            statuses = await stack.statuses()
            return {cache: Footprint.of(psutil.Process(statuses[bot_id].pid)) for cache, bot_id in ids.items()}
        finally:
            await stack.close()


async def run(shapes: tuple[tuple[int, int, int], ...] = SHAPES) -> Result:
    """Compare the profiles."""
    samples = [await measure(*shape) for shape in shapes]
    rows = tuple((cache.value, *(megabytes(sample[cache].uss) for sample in samples)) for cache in CONFIGS)
    lean = samples[min(1, len(samples) - 1)][Cache.LEAN].uss
    return Result(
        title=f"profiles: USS of a bot by what it caches, in guilds of {MEMBERS} people",
        columns=(
            "cache",
            *(f"{guilds} guilds, {channels} channels, {roles} roles" for guilds, channels, roles in shapes),
        ),
        rows=rows,
        targets=(
            Target(
                f"≤ {megabytes(TARGET_USS_BYTES)} USS under the default profile",
                megabytes(lean),
                lean <= TARGET_USS_BYTES,
            ),
        ),
        raw={
            " ".join(map(str, shape)): {cache.value: sample[cache].uss for cache in CONFIGS}
            for shape, sample in zip(shapes, samples, strict=True)
        },
    )
