"""Tasks that run beside everything else. Nothing else makes tasks, so that none of them can fail without being seen.

A task of an `asyncio.TaskGroup` is seen anyway: it ends its group.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

T = TypeVar("T")
Failed = Callable[[str, BaseException], object]

_running: set[asyncio.Task[Any]] = set()
"""The event loop itself has only weak references to its tasks."""


class SideTaskError(Exception):
    """A task beside everything else has failed, which ends the program. `__cause__` says what it raised."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"{name} failed: {type(error).__name__}: {error}")
        self.__cause__ = error


def _leave_to_loop(name: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": f"{name} failed", "exception": error})


_told: Failed = _leave_to_loop


def spawn(
    name: str, work: Coroutine[Any, Any, T], failed: Callable[[BaseException], object] | None = None
) -> "asyncio.Task[T]":
    """Begin a task that nobody has to await.

    name: in a word or two, for people. failed: told what it raises, and deals with that; None: the program ends, as
    whoever called `telling` has it.
    """
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)

    def done(task: "asyncio.Task[T]") -> None:
        _running.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if failed is None:
            _told(name, error)
        else:
            failed(error)

    task.add_done_callback(done)
    return task


@overload
def awaited(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]": ...


@overload
def awaited(work: Awaitable[T]) -> "asyncio.Future[T]": ...


def awaited(work: Awaitable[T]) -> "asyncio.Future[T]":
    """Begin what the caller itself awaits to its end, or has somebody else await: who does hears what it raises."""
    return asyncio.ensure_future(work)


@contextmanager
def telling(told: Failed) -> Iterator[None]:
    """Have `told` hear of every task that fails and that nobody deals with: its name, and what it raised."""
    global _told  # noqa: PLW0603 - of the one event loop that a process has
    before, _told = _told, told
    try:
        yield
    finally:
        _told = before
