"""Tracebacks for a bot's author: they start in the author's own code, not in how Flotilla came there."""

import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

MAX_CHARS: Final = 16_000
"""Longer ones lose their middle: an author needs the beginning and the error."""

_OURS: Final = str(Path(__file__).resolve().parent)
_AUTHORS: Final = str(Path(__file__).resolve().parent / "extensions")


def of(error: BaseException) -> str:
    """Return the error with its causes, each from the first line of the author's on; all of it if there is none."""
    told = traceback.TracebackException.from_exception(_shortened(error), compact=True)
    return cut("".join(told.format()))


def cut(text: str, max_chars: int = MAX_CHARS) -> str:
    """Return a text of at most about `max_chars` characters, without its middle if it is longer."""
    return text if len(text) <= max_chars else f"{text[: max_chars // 2]}\n…\n{text[-max_chars // 2 :]}"


def _shortened(error: BaseException) -> BaseException:
    """Return the error, with the frames that led to the author's code taken out of it and of its causes."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        found = _from_author(at.__traceback__)
        if found is not None or isinstance(at, SyntaxError):  # that one names its place by itself
            at.__traceback__ = found
        at = at.__cause__ or at.__context__
    return error


def _from_author(found: TracebackType | None) -> TracebackType | None:
    while found is not None and _is_ours(found.tb_frame.f_code.co_filename):
        found = found.tb_next
    return found


def _is_ours(filename: str) -> bool:
    if filename.startswith(("<frozen importlib", "<frozen zipimport")):
        return True
    if filename.startswith(_AUTHORS):
        return False
    return filename.startswith(_OURS) or filename.endswith(("/importlib/__init__.py", "/lightbulb/client.py"))
