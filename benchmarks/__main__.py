"""`python -m benchmarks [NAME …]`: measures and prints. What it starts, it ends, also on Ctrl-C."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks import (
    answer,
    crashing,
    deaf,
    flood,
    hang,
    leak,
    many,
    memory,
    profiles,
    recover,
    sandbox,
    stall,
    start,
    warm,
)
from benchmarks.installs import InstallError
from benchmarks.machine import Machine
from benchmarks.peers import install_peers
from benchmarks.report import Result

MIN_KILLS = 21
RESTARTS, QUICK_RESTARTS = 1_000, 5
REFUSED = 50
"""Restarts whose RESUME is refused: hikari waits for 1 to 2 s in each, and a person may begin 1,000 sessions a day."""
FILE_WIDTH = 120
DEAF_BOTS = 5
QUICK_BOTS = 5
QUICK_KILLS = 3
QUICK_SANDBOX_BOTS, QUICK_SANDBOX_S = 100, 3.0
HANGS, QUICK_HANGS = 5, 1
STALLS = 3
NAMES = (
    "start",
    "recover",
    "memory",
    "profiles",
    "many",
    "leak",
    "hang",
    "stall",
    "flood",
    "deaf",
    "crashing",
    "warm",
    "answer",
    "sandbox",
)
PEERLESS = {"profiles", "many", "hang", "stall", "flood", "deaf", "sandbox", "warm", "answer"}


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="NAME", help=f"of {', '.join(NAMES)}: all")
    parser.add_argument("--bots", type=int, default=100, help="size of the fleet in start and memory: %(default)s")
    parser.add_argument("--many", type=int, default=many.BOTS, help="size of the fleet in many: %(default)s")
    parser.add_argument("--seconds", type=float, default=crashing.SECONDS, help="of crashing: %(default)g")
    parser.add_argument("--repeat", type=int, default=3, help="turns of start and recover: %(default)s")
    parser.add_argument("--quick", action="store_true", help="small and once: shows that it works, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    options = parser.parse_args()
    if options.quick:
        options.bots, options.repeat = QUICK_BOTS, 1
        options.many, options.seconds = many.QUICK_BOTS, crashing.QUICK_SECONDS
    if min(options.bots, options.repeat, options.many, options.seconds) < 1:
        parser.error("--bots, --many, --seconds and --repeat must be at least 1")
    return options


async def measure(options: argparse.Namespace, console: Console) -> None:
    """Run what was asked for, showing each result as it comes."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    quick = options.quick
    kills = QUICK_KILLS if quick else -(-MIN_KILLS // options.repeat)
    crash_bots, crash_peers = (crashing.QUICK_BOTS, ()) if quick else (crashing.BOTS, crashing.PEERS)
    sandbox_size = (QUICK_SANDBOX_BOTS, QUICK_SANDBOX_S) if quick else (sandbox.TARGET_BOTS, sandbox.SECONDS)
    benchmarks: dict[str, Callable[[], Awaitable[Result]]] = {
        "start": lambda: start.run(options.bots, options.repeat),
        "recover": lambda: recover.run(kills, options.repeat),
        "memory": lambda: memory.run(options.bots),
        "profiles": lambda: profiles.run(profiles.QUICK_SHAPES if quick else profiles.SHAPES),
        "many": lambda: many.run(options.many, many.QUICK_REST_S if quick else many.REST_S),
        "leak": lambda: leak.run(quick=quick),
        "hang": lambda: hang.run(QUICK_HANGS if quick else HANGS),
        "stall": lambda: stall.run(options.bots, 1 if quick else STALLS),
        "flood": lambda: flood.run(flood.QUICK_SECONDS if quick else flood.SECONDS),
        "crashing": lambda: crashing.run(crash_bots, options.seconds, crash_peers),
        "warm": lambda: warm.run(*((QUICK_RESTARTS, QUICK_RESTARTS) if quick else (RESTARTS, REFUSED))),
        "deaf": lambda: deaf.run(1 if quick else DEAF_BOTS, quick=quick),
        "answer": lambda: answer.run(*((1, 2.0) if quick else (answer.TURNS, answer.TURN_S))),
        "sandbox": lambda: sandbox.run(*sandbox_size),
    }
    machine = Machine.here()
    for line in machine.lines():
        console.print(line, soft_wrap=True)
    results = {}
    for name in options.names or NAMES:
        began = time.perf_counter()
        with console.status(f"measuring {name}"):
            results[name] = await benchmarks[name]()
        results[name].show(console)
        console.print(f"[dim]It took {time.perf_counter() - began:.0f} s.[/dim]")
    if options.json:
        found = {"machine": machine.as_json()} | {name: result.as_json() for name, result in results.items()}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def main() -> int:
    """Return the exit code: 0 measured, whatever the figures say; 1 could not measure; 130 interrupted."""
    options = parse()
    for name in [name for name in os.environ if name.startswith("FLOTILLA_")]:
        del os.environ[name]  # nothing here may touch the fleet that this shell is set up for
    console = Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)
    try:
        if set(options.names or NAMES) - PEERLESS:
            with console.status("installing the peers"):
                install_peers()
        asyncio.run(measure(options, console))
    except InstallError as fault:
        console.print(f"benchmarks: {fault}", soft_wrap=True)
        return 1
    except psutil.AccessDenied:
        console.print("benchmarks: workers let nobody but root read their memory. Run memory, many and leak as root.")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("benchmarks: interrupted; everything that was started has ended.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
