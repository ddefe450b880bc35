"""`flotilla up`, `down`, `doctor`, and the greeting once everything runs."""

import contextlib
import sys
from typing import Annotated

import typer

from flotilla.cli.terminal import ask, say, say_block


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Demo bots on a local sandbox instead of Discord.")] = False,
    new_database: Annotated[
        bool, typer.Option("--new-database", help="Take an empty database though bots have run in this home.")
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Also if another installation runs this database's bots; it stops them."),
    ] = False,
) -> None:
    """Run everything in the foreground: supervisor, API, jobs and, unless you bring your own, Valkey."""
    from flotilla.errors import SetupError  # noqa: PLC0415
    from flotilla.launch.layout import Mode  # noqa: PLC0415 - database, migrations and Redis are slow to load
    from flotilla.launch.probes import confinement  # noqa: PLC0415
    from flotilla.launch.remarks import remarks  # noqa: PLC0415
    from flotilla.launch.start import become_supervisord, prepare  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    mode = Mode.DEMO if demo else Mode.REAL
    try:
        environment = prepare(settings, mode, _say_at_once, new_database=new_database, take_over=take_over)
    except SetupError as fault:
        if fault.code != "database_lost" or not sys.stdin.isatty():
            raise
        say_block(fault.message)
        ask("Begin anew without these bots?")
        environment = prepare(settings, mode, _say_at_once, new_database=True, take_over=take_over)
    for remark in remarks(settings):
        _say_at_once(remark)
    _say_at_once(f"Flotilla is starting in {settings.home} …")
    _say_at_once(f"Bots are held by: {confinement(settings)}")
    become_supervisord(settings, environment)


def _say_at_once(line: str) -> None:
    say(line, flush=True)


def down() -> None:
    """Stop everything that runs in this FLOTILLA_HOME, the bots included."""
    from flotilla.launch.stop import stop_everything  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    stop_everything(load_settings(), say)


def sweep() -> None:
    """End what supervisord has left. What supervisord becomes when it has ended; no signal keeps it from its work."""
    from flotilla.launch.stop import end_remains  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    end_remains(load_settings(), _say_whoever_listens)


def _say_whoever_listens(line: str) -> None:
    """Print a line; the terminal may be gone."""
    with contextlib.suppress(OSError):
        _say_at_once(line)


def welcome() -> None:
    """Say when everything runs; add the demo's bots. Started by supervisord."""
    from flotilla.cli.welcome import greet  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(greet(load_settings()))


def doctor() -> None:
    """Check this installation and say how to mend what is wrong. Exit code 1 if something is."""
    from flotilla.cli.doctor import examine_all, leave, report  # noqa: PLC0415

    findings = examine_all()
    report(findings)
    leave(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
