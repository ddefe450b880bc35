"""`flotilla logs`: what bots wrote, read on the host where they run."""

import heapq
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from flotilla.cli.faults import CommandError
from flotilla.cli.terminal import say_log_line

if TYPE_CHECKING:
    from flotilla.cli.logfiles import Line
    from flotilla.settings import Settings

LOOK_EVERY_S = 0.25
DEFAULT_LINES = 100
_LOCAL_HOSTS = {"localhost", "::1", "0.0.0.0"}  # noqa: S104 - an address to compare with, not to bind


def logs(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names of bots.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="How many lines of each; 100 without --since.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only what is as new as this: 30s, 10m, 2h, 1d, or a time, local or with offset."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only what is as old as this, written alike.")] = None,
) -> None:
    """Show the logs of bots that run on this host, secrets redacted."""
    from flotilla.cli.logfiles import last_lines  # noqa: PLC0415
    from flotilla.cli.moments import moment  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    if follow and until:
        raise typer.BadParameter("What is still to be written comes after --until; leave one of them out.")
    now = datetime.now(UTC)
    oldest = moment(since, now, "--since") if since else None
    newest = moment(until, now, "--until", latest=True) if until else None
    settings = load_settings()
    paths = {name: _path(settings, name) for name in dict.fromkeys(names)}
    count = DEFAULT_LINES if lines is None and oldest is None and newest is None else lines
    found = {name: last_lines(path, count, oldest, newest, whole=follow) for name, path in paths.items()}
    show = _Printer(list(paths))
    for name, line in _merged({name: part[0] for name, part in found.items()}):
        show(name, line.raw)
    if follow:
        _follow({name: (path, found[name][1]) for name, path in paths.items()}, show)


def _path(settings: "Settings", name: str) -> Path:
    """Return the log of a bot on this host. Raises CommandError (`log_elsewhere`, `log_missing`), FixInputError."""
    from flotilla.botlog import log_file, parts  # noqa: PLC0415
    from flotilla.domain.bots import parse_name  # noqa: PLC0415

    path = log_file(settings.log_dir, parse_name(name))
    host = urlsplit(settings.url or "").hostname
    if host and not _is_here(host):
        raise CommandError(
            f"The fleet runs on {host}, and logs are read on the host of the bots. Run `flotilla logs {name}` there, "
            "with that fleet's FLOTILLA_HOME.",
            code="log_elsewhere",
        )
    if not any(part.exists() for part in parts(path)):
        raise CommandError(
            f"There is no log of {name!r} in {path.parent}: it has never run on this host, or this is not the fleet's "
            "FLOTILLA_HOME. See: flotilla bots ls",
            code="log_missing",
        )
    return path


def _is_here(host: str) -> bool:
    return host in _LOCAL_HOSTS or host.startswith("127.") or host in {socket.gethostname(), socket.getfqdn()}


def _merged(found: dict[str, "list[Line]"]) -> "Iterator[tuple[str, Line]]":
    """Yield the lines of all bots in the order of their times; those of one bot stay in theirs."""
    streams = [[(line.at, name, line) for line in _ascending(lines)] for name, lines in found.items()]
    for _, name, line in heapq.merge(*streams, key=lambda item: item[0]):
        yield name, line


def _ascending(lines: "Sequence[Line]") -> "Iterator[Line]":
    """Yield lines with times that never go back, as a clock that is set may have let them."""
    from flotilla.cli.logfiles import Line  # noqa: PLC0415

    latest = float("-inf")
    for line in lines:
        latest = max(latest, line.at)
        yield Line(latest, line.raw)


def _follow(starts: dict[str, tuple[Path, int]], show: "_Printer") -> None:
    from flotilla.cli.logfiles import Follower  # noqa: PLC0415

    with ExitStack() as stack:
        followers = {
            name: stack.enter_context(closing(Follower(path, start))) for name, (path, start) in starts.items()
        }
        while True:
            for name, follower in followers.items():
                for raw in follower.read():
                    show(name, raw)
            sys.stdout.flush()
            time.sleep(LOOK_EVERY_S)


class _Printer:
    """Prints lines without secrets; with the bot's name in front if there are several."""

    def __init__(self, names: Sequence[str]) -> None:
        width = max(len(name) for name in names)
        self._prefixes = {name: f"{name:<{width}} | " if len(names) > 1 else "" for name in names}

    def __call__(self, name: str, raw: bytes) -> None:
        from flotilla.botlog import clean  # noqa: PLC0415

        # What a stranger wrote to a bot may be in here: it must not steer the terminal.
        say_log_line(self._prefixes[name], clean(raw))
