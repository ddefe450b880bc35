"""The extensions that a lightbulb client could not load, whoever told it to load them.

lightbulb logs what an extension raises when it is imported or loaded and goes on without it, and so do bots' own
loops; its sync would then take the commands of that extension away from all users. They are recognised by what
lightbulb leaves behind: it does not count them as loaded, and takes their module out of `sys.modules`.
"""

import sys
from typing import Any

import lightbulb

_lost: dict[int, tuple[lightbulb.Client, dict[str, None]]] = {}


def of(client: lightbulb.Client) -> tuple[str, ...]:
    """Return the names of those that are not loaded since, in the order in which they failed."""
    known = _lost.get(id(client))
    return () if known is None or known[0] is not client else tuple(known[1])


def forget() -> None:
    """Forget those of all clients."""
    _lost.clear()


def _note(client: lightbulb.Client, name: str) -> None:
    known = _lost.get(id(client))
    if known is None or known[0] is not client:
        known = _lost[id(client)] = (client, {})
    known[1][name] = None


def _found(client: lightbulb.Client, name: str) -> None:
    if name in of(client):
        del _lost[id(client)][1][name]


async def _load_and_note(client: lightbulb.Client, *names: str) -> None:
    has_ended = False
    try:
        await _load(client, *names)
        has_ended = True
    finally:
        for name in names:
            if name in client._extensions:
                _found(client, name)
            elif name not in sys.modules or not has_ended:  # an error that lightbulb does not expect ends the call
                _note(client, name)


async def _load_package_and_note(client: lightbulb.Client, package: Any, **how: Any) -> None:  # noqa: ANN401
    try:
        await _load_package(client, package, **how)
    except BaseException:
        _note(client, str(getattr(package, "__name__", package)))
        raise
    _found(client, package.__name__)


async def _unload_and_forget(client: lightbulb.Client, *names: str) -> None:
    await _unload(client, *names)
    for name in names:
        _found(client, name)


_load, _unload = lightbulb.Client.load_extensions, lightbulb.Client.unload_extensions
_load_package = lightbulb.Client.load_extensions_from_package

lightbulb.Client.load_extensions = _load_and_note  # type: ignore[method-assign, assignment]
lightbulb.Client.load_extensions_from_package = _load_package_and_note  # type: ignore[method-assign, assignment]
lightbulb.Client.unload_extensions = _unload_and_forget  # type: ignore[method-assign, assignment]
