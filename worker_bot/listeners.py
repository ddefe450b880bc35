"""Keeps a bot's own listeners from holding its gateway connection, and what they raise from being lost.

hikari awaits the listeners of some events before it goes on: a listener that runs on hides that a shard was closed for
good, or holds the reconnect. It accepts listeners without a `__name__`, which break each dispatch of their event; and
it logs no error once anything listens to ExceptionEvent or Event. It touches hikari's private names; a contract test
pins them.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

import hikari
from hikari.impl.event_manager_base import EventManagerBase

LISTENERS_S: Final = 5.0
"""How long the gateway waits for the listeners of one event. They run on beside it."""

_HOLDING: Final = (hikari.StartedEvent, hikari.ShardConnectedEvent, hikari.ShardDisconnectedEvent)
"""Events whose listeners hikari awaits while a shard may end meanwhile."""

log = logging.getLogger("flotilla.listeners")
_hikaris = logging.getLogger("hikari.event_manager")


class _Named:
    """A listener that has no name of its own, such as a functools.partial or an object that can be called."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self.__name__ = type(callback).__name__
        self._callback = callback

    async def __call__(self, event: hikari.Event) -> None:
        await self._callback(event)

    def __eq__(self, other: object) -> bool:
        """Be what was subscribed, so that it can be unsubscribed."""
        return other is self or other == self._callback

    def __hash__(self) -> int:
        return hash(self._callback)


def _subscribe(manager: EventManagerBase, event_type: Any, callback: Any, *, _nested: int = 0) -> None:  # noqa: ANN401
    call = getattr(callback, "__call__", None)  # noqa: B004 - hikari goes by it
    if not hasattr(callback, "__name__") and any(map(inspect.iscoroutinefunction, (callback, call))):
        callback = _Named(callback)
    subscribe_as_hikari(manager, event_type, callback, _nested=_nested + 1)


def dispatch(manager: EventManagerBase, event: Any, *, return_tasks: bool = False) -> Any:  # noqa: ANN401
    """Dispatch an event. What is returned for one of `_HOLDING` is done after `LISTENERS_S` at the latest."""
    if return_tasks:
        listening = dispatch_as_hikari(manager, event, return_tasks=True)
        return _at_most(listening, type(event).__name__) if isinstance(event, _HOLDING) else listening
    if isinstance(event, hikari.ExceptionEvent) and manager.get_listeners(type(event), polymorphic=True):
        # Without these listeners hikari would have logged it in these words.
        failed = type(event.failed_event).__name__
        _hikaris.error("an exception occurred handling an event (%s)", failed, exc_info=event.exception)
    return dispatch_as_hikari(manager, event)


def _at_most(listening: "asyncio.Future[Any]", name: str) -> "asyncio.Future[Any]":
    """Return what is done when `listening` is, however that ends, or when it takes too long."""
    if listening.done():
        return listening
    loop = asyncio.get_running_loop()
    held: asyncio.Future[None] = loop.create_future()

    def end(_: object = None) -> None:
        if not held.done():
            held.set_result(None)

    def go_on() -> None:
        mark = f" for '{name}'"
        still = [task.get_name().removesuffix(mark) for task in asyncio.all_tasks() if task.get_name().endswith(mark)]
        log.warning("after %g s the gateway goes on without what still handles %s: %s", LISTENERS_S, name, still[:10])
        end()

    timer = loop.call_later(LISTENERS_S, go_on)
    held.add_done_callback(lambda _: timer.cancel())
    listening.add_done_callback(end)
    return held


dispatch_as_hikari, subscribe_as_hikari = EventManagerBase.dispatch, EventManagerBase.subscribe
EventManagerBase.dispatch = dispatch  # type: ignore[method-assign, assignment]
EventManagerBase.subscribe = _subscribe  # type: ignore[method-assign, assignment]
