"""`python -m sandbox`: a local Discord on one port."""

import argparse
import asyncio
import resource
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

from sandbox import limits
from sandbox.control import door
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.state.file import Keeper, StateFile
from sandbox.tokens import Mint, load_secret

EX_CONFIG = 78  # sysexits.h: the configuration is wrong and a restart cannot cure it
_PORT_MAX = 65_535


def steady_unix_clock() -> Callable[[], float]:
    """Return a clock of Unix seconds that a change of the system's time does not move."""
    offset_s = time.time() - time.monotonic()
    return lambda: offset_s + time.monotonic()


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a port; give 0 to {_PORT_MAX}")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 on")
    return seconds


def _milliseconds(text: str) -> int:
    milliseconds = int(text)
    if milliseconds <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of milliseconds")
    return milliseconds


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EX_CONFIG, f"sandbox: {message}\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command line's options; exits with 78 and one sentence if they are wrong."""
    parser = _Parser(prog="python -m sandbox", description="A local Discord: REST v10 and gateway v10.")
    parser.add_argument("--port", type=_port, required=True, help="0 picks a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--secret-file",
        type=Path,
        help="keeps tokens valid across restarts; made if missing; control calls' key is put beside it, as FILE.key",
    )
    parser.add_argument("--state", type=Path, help="keeps what Discord would keep across restarts; needs --secret-file")
    parser.add_argument("--resume-window-s", type=_seconds, default=limits.RESUME_WINDOW_S)
    parser.add_argument("--identify-interval-s", type=_seconds, default=limits.IDENTIFY_INTERVAL_S)
    parser.add_argument("--heartbeat-interval-ms", type=_milliseconds, default=limits.HEARTBEAT_INTERVAL_MS)
    parser.add_argument("--initial-response-s", type=_seconds, default=limits.INITIAL_RESPONSE_S)
    options = parser.parse_args(arguments)
    if options.state is not None and options.secret_file is None:
        parser.error("--state needs --secret-file: ids and tokens are derived from that secret")
    if options.secret_file is not None and door.key_file_of(options.secret_file) == options.secret_file:
        parser.error("--secret-file may not end in .key: the key of control calls is put beside it under that name")
    return options


async def run(options: argparse.Namespace, mint: Mint) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the address cannot be used."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    rules = Rules(
        options.resume_window_s,
        options.identify_interval_s,
        options.heartbeat_interval_ms,
        options.initial_response_s,
    )
    discord = LocalDiscord(mint, steady_unix_clock(), rules)
    where_key_is, told = _where_key_is(discord.control_key, options.secret_file)
    serving = serve(discord, options.host, options.port, where_key_is=where_key_is)
    async with _kept(discord, mint, options.state), serving as url:
        sys.stdout.write(f"sandbox listening on {url}\n{told}\n")
        sys.stdout.flush()
        await stop.wait()


def _where_key_is(key: str, secret_file: Path | None) -> tuple[str, str]:
    """Return where the key of control calls is, for who comes without it, and what is printed of it at start."""
    if secret_file is None:
        return "The sandbox printed it when it started.", f"key of control calls: {key}"
    path = door.key_file_of(secret_file)
    return f"It is in {path.absolute()}.", f"key of control calls: in {path}"


@asynccontextmanager
async def _kept(discord: LocalDiscord, mint: Mint, path: Path | None) -> AsyncIterator[None]:
    """Go on with what `path` holds, and keep it there while the context lasts; nothing of it if there is no path."""
    if path is None:
        yield
        return
    file = StateFile(path, mint.derive_hex("state")[:16])
    file.load(discord, _say)
    keeper = Keeper(discord, file, _say)
    keeping = asyncio.create_task(keeper.keep())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        keeper.finish()


def _say(sentence: str) -> None:
    sys.stderr.write(f"sandbox: {sentence}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox and return its exit code: 0 after a signal, 78 when it cannot start as asked."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        secret = load_secret(options.secret_file) if options.secret_file else secrets.token_bytes()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox: the secret file cannot be used: {error}\n")
        return EX_CONFIG
    mint = Mint(secret)
    try:
        if options.secret_file:
            door.write_key(door.key_file_of(options.secret_file), mint.control_key())
    except OSError as error:
        sys.stderr.write(f"sandbox: the key of control calls cannot be written: {error}\n")
        return EX_CONFIG
    try:
        asyncio.run(run(options, mint))
    except OSError as error:
        sys.stderr.write(f"sandbox: cannot listen on {options.host}:{options.port}: {error.strerror or error}\n")
        return EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
