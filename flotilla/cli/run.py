"""`flotilla up`, `down`, `doctor`, and the greeting once everything runs."""

import os
from typing import Annotated

import typer


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Demo bots on a local sandbox instead of Discord.")] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Also if another installation runs this database's bots; it stops them."),
    ] = False,
) -> None:
    """Run everything in the foreground: supervisor, API, jobs and, unless you bring your own, Valkey."""
    from flotilla.launch.layout import Mode  # noqa: PLC0415 - database, migrations and Redis are slow to load
    from flotilla.launch.start import become_supervisord, prepare  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    os.umask(0o077)
    settings = load_settings()
    environment = prepare(settings, Mode.DEMO if demo else Mode.REAL, take_over=take_over)
    print(f"Flotilla is starting in {settings.home} …", flush=True)
    become_supervisord(environment)


def down() -> None:
    """Stop everything that runs in this FLOTILLA_HOME, the bots included."""
    from flotilla.launch.stop import stop_everything  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    stop_everything(load_settings(), print)


def welcome() -> None:
    """Say when everything runs; add the demo's bots. Started by supervisord."""
    from flotilla.cli.welcome import greet  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    raise typer.Exit(greet(load_settings()))


def doctor() -> None:
    """Check this installation and say how to mend what is wrong. Exit code 1 if something is."""
    from flotilla.cli.doctor import examine, report  # noqa: PLC0415

    findings = examine()
    report(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
