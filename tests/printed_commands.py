"""Finds the `flotilla …` commands that texts name, and says whether they can be given.

A command ends where its words end to be arguments.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from flotilla.cli.app import app

HOLE = "\x00"
"""What stands in an f-string where a value goes."""

_ARGUMENT = re.compile(
    rf"set|rm|[A-Z][A-Z_]*…?|{HOLE}|--?[a-z][a-z-]*|[\w.]+=\S+|'[^']*'|\"[^\"]*\"|https?:\S+|/[a-z]+"
)
_PROSE = re.compile(r"\bflotilla (?=[a-z])")
_CODE = re.compile(r"`+(flotilla [^`]+)`+")
_BEHIND = re.compile(r"\s(?:[<>|#]|&&|\|\|)(?:\s|$).*|\s#\s.*")
ROOT_COMMAND = typer.main.get_command(app)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that may be printed, each with its line."""
    tree = ast.parse(path.read_text())
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            shown = (str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
            yield node.lineno, "".join(shown)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | bare):
            yield node.lineno, node.value


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words behind `flotilla` of each command that a text names."""
    for quoted in _CODE.findall(text):
        yield from written(quoted)
    for match in _PROSE.finditer(_CODE.sub("", text)):
        yield from spoken(_CODE.sub("", text)[match.end() :])


def written(line: str) -> Iterator[list[str]]:
    """Yield a command that stands by itself; of `start|stop NAME` each."""
    words = shlex.split(_BEHIND.sub("", line).replace("…", ""))[1:]
    choices = next((word.split("|") for word in words if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word)), [""])
    for choice in choices:
        yield [choice if "|" in word and choice else word for word in words]


def spoken(rest: str) -> Iterator[list[str]]:
    """Yield a command that a sentence names: its names, then whatever looks like an argument."""
    words: list[str] = []
    command: Any = ROOT_COMMAND
    for raw in rest.split():
        word = raw.strip("()").rstrip(".,;:)")
        if isinstance(command, TyperGroup):
            if "|" in word:
                break
            if word not in command.commands:
                if not words:
                    return  # a sentence about Flotilla, or a name that begins like it
                break
            command = command.commands[word]
        elif not _ARGUMENT.fullmatch(word):
            break
        words.append(word)
        if raw[-1] in ".,;:)" and not raw.endswith("…"):
            break
    yield words


def faults_of(words: list[str]) -> str | None:
    """Return why a command would be refused before it does anything, or None."""
    command: Any = ROOT_COMMAND
    rest = list(words)
    while isinstance(command, TyperGroup):
        if not rest:
            return None  # the group itself is meant: it shows its help
        found = command.commands.get(rest[0])
        if found is None:
            return f"there is no {rest[0]!r}"
        command, rest = found, rest[1:]
    given = ["1" if word.strip("[]") in {"N", "SECONDS", "ID"} else word.replace(HOLE, "1") for word in rest]
    try:
        command.make_context(command.name, given)
    except typer.Exit:
        return None  # --help and the like
    except TyperException as fault:
        return str(fault)
    return None


def is_name_alone(words: list[str]) -> bool:
    """Return whether a page names a command without saying that it be given so."""
    command: Any = ROOT_COMMAND
    for word in words:
        command = command.commands.get(word) if isinstance(command, TyperGroup) else None
    return command is not None
