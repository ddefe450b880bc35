"""The one way from the command line to a terminal. What others wrote is seen there, and never steers it.

Both standard streams are `Screen`s while a command runs, so whatever is printed, by us or by a library, passes the same
filter; tables pass it in `drawing`. What is printed by `say` is one line each: nobody can write a second one.
"""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

import typer
from typer.core import TyperGroup

from flotilla.visible import visible_block, visible_line, visible_with_colours

_CLEAR_LINE = "\r\x1b[2K"


class Screen:
    """A standard stream that shows what would steer a terminal. Text has lines and tabs, and no colours."""

    def __init__(self, raw: TextIO) -> None:
        """raw: the stream; Rich, which makes our colours, writes to it by this name."""
        self.rich_proxied_file = raw

    def write(self, text: str) -> int:
        """Write a text as it may be seen."""
        return self.rich_proxied_file.write(visible_block(text))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts as they may be seen."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self.rich_proxied_file, name)


class Group(TyperGroup):
    """The commands. What is wrong with how one was called is told without what steers a terminal in its arguments."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - Typer's own
        """Read the arguments."""
        with _seen():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own
        """Run the command."""
        with _seen():
            return super().invoke(ctx)


@contextlib.contextmanager
def _seen() -> Iterator[None]:
    """Let errors pass that Typer shows by itself, with what they say made visible."""
    try:
        yield
    except Exception as fault:
        if hasattr(fault, "format_message") and hasattr(fault, "message"):
            fault.message = visible_line(fault.message)
        raise


def guard_streams() -> None:
    """Make Screens of stdout and stderr."""
    if not isinstance(sys.stdout, Screen):
        sys.stdout = cast("TextIO", Screen(sys.stdout))
    if not isinstance(sys.stderr, Screen):
        sys.stderr = cast("TextIO", Screen(sys.stderr))


def say(line: object = "", *, err: bool = False, flush: bool = False) -> None:
    """Print one line, whatever is in it."""
    print(visible_line(str(line)), file=sys.stderr if err else sys.stdout, flush=flush)


def say_lines(lines: Iterable[str], *, err: bool = False, flush: bool = False) -> None:
    """Print lines, each as `say` does."""
    for line in lines:
        say(line, err=err, flush=flush)


def say_block(text: str, *, err: bool = False, flush: bool = False) -> None:
    """Print a text that has lines of its own, such as a traceback."""
    print(visible_block(text), file=sys.stderr if err else sys.stdout, flush=flush)


def say_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a value as JSON, exactly: what is not ASCII, and every control, is escaped."""
    print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def say_log_line(prefix: str, text: str) -> None:
    """Print a line of a log: on a terminal with its colours and nothing else that steers it, elsewhere as it is."""
    stream = _raw_stdout()
    stream.write(f"{prefix}{visible_with_colours(text) if _is_terminal(stream) else text}\n")


def ask(question: str) -> None:
    """Ask for a yes on stderr. Raises typer.Abort for anything else."""
    typer.confirm(visible_line(question), abort=True, err=True)


def rewrite_line(text: str) -> None:
    """Rewrite one line on a terminal; print a line elsewhere."""
    stream = _raw_stdout()
    if _is_terminal(stream):
        stream.write(f"{_CLEAR_LINE}{visible_line(text)}")
        stream.flush()
    else:
        say(text, flush=True)


def end_line() -> None:
    """End the line that was rewritten."""
    if _is_terminal(sys.stdout):
        say()


def _raw_stdout() -> TextIO:
    return cast("TextIO", getattr(sys.stdout, "rich_proxied_file", sys.stdout))


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()
