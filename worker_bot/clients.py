"""The lightbulb clients of this process, whoever made them.

lightbulb ignores what users do until a client is started, and its own documentation starts it when the gateway is up
already. A worker that resumes a session gets at once what users did meanwhile; so that waits for the client.
When a client is stopped, all that it holds is closed.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import hikari
import lightbulb

from worker_bot.closing import let_each_teardown_run

START_S: Final = 10.0
"""How long what users do waits for a client that is not started. The guard answers for it meanwhile."""

_clients: list[lightbulb.Client] = []
_started: dict[int, asyncio.Event] = {}
_tell: list[Callable[[BaseException], None]] = []


def watch(tell: Callable[[BaseException], None]) -> None:
    """Forget the clients made so far, and let `tell` hear when one of those made from now on cannot be started."""
    _clients.clear()
    _started.clear()
    _tell[:] = [tell]


def made() -> tuple[lightbulb.Client, ...]:
    """Return the clients that were made since."""
    return tuple(_clients)


def adopt(client: lightbulb.Client) -> None:
    """Count a client that was made before as made now."""
    _clients.append(client)
    _started[id(client)] = asyncio.Event()


def _made(client: lightbulb.Client, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    _init(client, *arguments, **named)
    adopt(client)


async def _start_and_tell(client: lightbulb.Client, *arguments: Any) -> None:  # noqa: ANN401
    try:
        await _start(client, *arguments)
    except Exception as error:
        # hikari logs what a listener raises, and goes on with a bot that answers nobody.
        for tell in _tell:
            tell(error)
        raise
    if id(client) in _started:
        _started[id(client)].set()


async def _handle_once_started(client: lightbulb.Client, interaction: hikari.PartialInteraction, *more: Any) -> None:  # noqa: ANN401
    started = _started.get(id(client))
    if started is not None and not started.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(started.wait(), START_S)
    await _handle(client, interaction, *more)


async def _stop_whole(client: lightbulb.Client, *arguments: Any) -> None:  # noqa: ANN401
    let_each_teardown_run(client)
    await _stop(client, *arguments)


_init, _start, _stop = lightbulb.Client.__init__, lightbulb.Client.start, lightbulb.Client.stop
_handle = lightbulb.Client.handle_interaction_create

lightbulb.Client.__init__ = _made  # type: ignore[method-assign, assignment]
lightbulb.Client.start = _start_and_tell  # type: ignore[method-assign, assignment]
lightbulb.Client.stop = _stop_whole  # type: ignore[method-assign, assignment]
lightbulb.Client.handle_interaction_create = _handle_once_started  # type: ignore[method-assign, assignment]
