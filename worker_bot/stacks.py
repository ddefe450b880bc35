"""On SIGUSR2 a worker writes to its log where each of its threads and tasks is.

Threads come from `faulthandler`, in C, within the signal itself: also when the event loop is blocked, and also while
other code holds the interpreter. Then it passes the signal on to the event loop, which adds the tasks as soon as it
turns; a loop that is blocked adds nothing.
"""

import asyncio
import contextlib
import faulthandler
import linecache
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

from flotilla.botlog import END_OF_TASKS
from flotilla.redaction import redact_text

NUMBER = signal.SIGUSR2
STDERR = 2
MAX_TASKS = 200
MAX_FRAMES = 30


def install() -> None:
    """Answer the signal from now on. Called in the running event loop."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(NUMBER, _write_tasks, loop)
    # chain: the handler of the loop, which is there already, is called afterwards.
    faulthandler.register(NUMBER, file=STDERR, all_threads=True, chain=True)


def uninstall() -> None:
    """Do no longer answer it, once the event loop is closed."""
    faulthandler.unregister(NUMBER)


def _write_tasks(loop: asyncio.AbstractEventLoop) -> None:
    text = redact_text("\n".join([*_tasks(loop), f"{END_OF_TASKS}\n"])).encode(errors="replace")
    with contextlib.suppress(OSError):
        while text:
            text = text[os.write(STDERR, text) :]


def _tasks(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    yield f"\n{len(tasks)} tasks (most recent call last):"
    for task in tasks[:MAX_TASKS]:
        yield f"Task {task.get_name()}:"
        yield from _chain(task.get_coro())
    if len(tasks) > MAX_TASKS:
        yield f"… and {len(tasks) - MAX_TASKS} more"


def _chain(awaited: Any) -> Iterator[str]:  # noqa: ANN401 - coroutine, generator or anything with __await__
    """Yield a line per frame from the outermost coroutine to what it waits for; `Task.get_stack` has only the first."""
    for _ in range(MAX_FRAMES):
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            break
        yield from _line(frame)
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    if awaited is not None:
        yield f"  waits for {type(awaited).__name__}"


def _first(owner: Any, *names: str) -> Any:  # noqa: ANN401
    return next((value for value in (getattr(owner, name, None) for name in names) if value is not None), None)


def _line(frame: FrameType) -> Iterator[str]:
    code = frame.f_code
    yield f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}'
    source = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
    if source:
        yield f"    {source}"
