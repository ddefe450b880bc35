"""The end of a lightbulb client: what the bot's own code has open is closed, whatever else fails to.

linkd ends the closing with the first teardown that raises, and what was opened before that one stays open.
"""

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Collection
from typing import Any

import lightbulb

log = logging.getLogger("flotilla.worker")


def let_each_teardown_run(client: lightbulb.Client) -> None:
    """See to it that the client's `stop` runs every teardown once, the last one first, and logs those that fail.

    What they raise is no reason for the bot's end, so nobody else hears of it, be it SystemExit.
    """
    container = client.di.default_container
    if container is not None:
        extensions = client._extensions
        container._teardowns[:] = [functools.partial(_attempt, each, extensions) for each in container._teardowns]


async def _attempt(teardown: Callable[[], Any], extensions: Collection[str]) -> None:
    try:
        done = teardown()
        if inspect.isawaitable(done):
            await done
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        log.exception("%s was cancelled; the rest is closed", _named(teardown, extensions))
    except BaseException:
        log.exception("%s failed; the rest is closed", _named(teardown, extensions))


def _named(teardown: Callable[[], Any], extensions: Collection[str]) -> str:
    """Return what it closes, and the extension that it is of if one is."""
    of, held = (teardown.func, teardown.args) if isinstance(teardown, functools.partial) else (teardown, ())
    places = [getattr(of, "__module__", None) or "", *(type(each).__module__ for each in held)]
    what = f"the teardown of {type(held[0]).__qualname__}" if held else "a teardown"
    for name in extensions:
        if any(place == name or place.startswith(f"{name}.") for place in places):
            return f"{what} in the extension {name}"
    return what
