"""Tracebacks for a bot's author: they start in the author's own code, not in how Flotilla came there."""

import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

MAX_CHARS: Final = 16_000
"""Longer ones lose their middle: an author needs the beginning and the error."""

_OURS: Final = str(Path(__file__).resolve().parent)
_LIBRARIES: Final = ("/importlib/", "/site-packages/hikari/", "/site-packages/lightbulb/", "/asyncio/")
_AUTHORS: Final = str(Path(__file__).resolve().parent / "extensions")


def of(error: BaseException) -> str:
    """Return the error with its causes, each from the first line of the author's on; all of it if there is none."""
    for at, found in _authors(error).items():
        if found is not None or isinstance(at, SyntaxError):  # that one names its place by itself
            at.__traceback__ = found
    return _text(error)


def authors(error: BaseException | None) -> str:
    """Return the same, empty if no line of the author's has part in it."""
    if error is None or not any(found or isinstance(at, SyntaxError) for at, found in _authors(error).items()):
        return ""
    return of(error)


def _text(error: BaseException) -> str:
    return cut("".join(traceback.TracebackException.from_exception(error, compact=True).format()))


def cut(text: str, max_chars: int = MAX_CHARS) -> str:
    """Return a text of at most about `max_chars` characters, without its middle if it is longer."""
    return text if len(text) <= max_chars else f"{text[: max_chars // 2]}\n…\n{text[-max_chars // 2 :]}"


def _authors(error: BaseException) -> dict[BaseException, TracebackType | None]:
    """Return the error and what led to it, each with its traceback from the author's first line on."""
    found: dict[BaseException, TracebackType | None] = {}
    at: BaseException | None = error
    while at is not None and at not in found:
        found[at] = _from_author(at.__traceback__)
        at = at.__cause__ or at.__context__
    return found


def _from_author(found: TracebackType | None) -> TracebackType | None:
    while found is not None and _is_ours(found.tb_frame.f_code.co_filename):
        found = found.tb_next
    return found


def _is_ours(filename: str) -> bool:
    if filename.startswith(("<frozen importlib", "<frozen zipimport")):
        return True
    if filename.startswith(_AUTHORS):
        return False
    return filename.startswith(_OURS) or any(part in filename for part in _LIBRARIES)
