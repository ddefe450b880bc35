"""Runs every command of the command line, each in a process of its own, and writes how each ended to a descriptor.

A program and no module: `python each_command.py DESCRIPTOR WORD NUMBER [COMMAND…]`. It inherits the surroundings that
a test makes: streams, environment, folder, mounts. WORD and NUMBER are what the commands are given where they want any.
With COMMANDs, only those are run.
"""

import enum
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import typer

DEADLINE_S = 40
HEAVY = (
    *("httpx", "rich.table", "sqlalchemy.ext.asyncio", "aiosqlite", "alembic.command", "redis", "psutil"),
    *("flotilla.cli.render", "flotilla.cli.doctor", "flotilla.launch.start", "flotilla.launch.stop"),
    *("flotilla.launch.restart", "flotilla.launch.rotation", "flotilla.db.webhooks", "flotilla.cli.sandbox.control"),
)
"""Imported before anything is forked, so that each command does not import it again."""

SKIPPED = {("welcome",)}
"""Waits for programs by its nature."""


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*words, name))
    elif words not in SKIPPED:
        yield words, command


def given(command: Any, word: str, number: str) -> list[str]:
    """Return as few arguments as the command needs."""
    made = []
    for parameter in command.params:
        if not parameter.required:
            continue
        kind = parameter.type_descriptor.annotation
        value = word
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            value = str(next(iter(kind)).value)
        elif kind in {int, float}:
            value = number
        if parameter.name == "role":
            value = "viewer"
        made += [value] if "Argument" in type(parameter).__name__ else [parameter.opts[0], value]
    return made


def calm() -> None:
    """Let nothing be started, and nothing be waited for."""
    import flotilla.cli.api  # noqa: PLC0415 - an import that fails is part of what is tried
    import flotilla.launch.start  # noqa: PLC0415

    flotilla.cli.api.TIMEOUT_S = 0.5
    assert "SUPERVISORD_PYTHON" in vars(flotilla.launch.start)
    vars(flotilla.launch.start)["SUPERVISORD_PYTHON"] = "/bin/true"  # becomes that instead


def run(arguments: list[str], descriptor: int) -> dict[str, Any]:
    said = os.memfd_create("said")
    pid = os.fork()
    if pid == 0:
        signal.alarm(DEADLINE_S)
        os.close(descriptor)
        try:
            # Where the test closed a stream it stays so; what is said is read where it did not.
            os.fstat(2)
            os.dup2(said, 2)
        except OSError:
            pass
        sys.argv = ["flotilla", *arguments]
        from flotilla.cli import main  # noqa: PLC0415

        sys.exit(main())
    _, status = os.waitpid(pid, 0)
    os.lseek(said, 0, os.SEEK_SET)
    with os.fdopen(said, "rb") as file:
        text = file.read().decode(errors="backslashreplace")
    return {
        "command": " ".join(arguments),
        "code": os.waitstatus_to_exitcode(status),
        "said": text,
    }


def main() -> None:
    descriptor, word, number = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    fault = ""
    try:
        for name in HEAVY:
            __import__(name)
        calm()
        from flotilla.cli.app import app  # noqa: PLC0415
    except Exception as error:  # noqa: BLE001 - reported
        fault = repr(error)
    found = []
    if not fault:
        for words, command in leaves(typer.main.get_command(app)):
            if sys.argv[4:] and " ".join(words) not in sys.argv[4:]:
                continue
            found.append(run([*words, *given(command, word, number)], descriptor))
    with os.fdopen(descriptor, "w", errors="backslashreplace") as file:
        json.dump({"fault": fault, "commands": found}, file)


if __name__ == "__main__":
    tempfile.tempdir = None
    main()
