"""Imports a bot's own code, and loads extensions into lightbulb; says what is wrong with them."""

import importlib
import logging
import os
from types import ModuleType
from typing import Final

import lightbulb

from worker_bot.making import TOKEN_NAMES, AppFailedError, MadeTooEarlyError

_LIGHTBULB: Final = logging.getLogger("lightbulb.client")


class ExtensionFailedError(Exception):
    """The bot's own code raised while it was loaded, or is no extension; a cause is chained."""


class _Listener(logging.Handler):
    """Hears why lightbulb skips an extension; it only logs that."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.error = record.exc_info[1]


def import_extension(name: str) -> ModuleType:
    """Return an extension's module. Raises ExtensionFailedError, whatever the module does short of ending the process.

    MadeTooEarlyError passes.
    """
    try:
        module = importlib.import_module(name)
    except MadeTooEarlyError:
        raise
    except BaseException as error:
        raise ExtensionFailedError(f"the extension {name} {_how(error, name)}") from error
    if not any(isinstance(value, lightbulb.Loader) for value in vars(module).values()):
        raise ExtensionFailedError(
            f"{name} is no extension: it has no lightbulb.Loader. Write `loader = lightbulb.Loader()` in it, and "
            "`@loader.command` above its commands. A whole bot is named as `package.module:function`."
        )
    return module


def import_app(name: str) -> object:
    """Return what an app's name stands for: a function, or a bot. Raises AppFailedError. MadeTooEarlyError passes.

    name: `package.module:function`.
    """
    path, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(path)
    except (MadeTooEarlyError, AppFailedError):
        raise
    except BaseException as error:
        raise AppFailedError(f"the bot's module {path} {_how(error, path)}") from error
    found: object = getattr(module, attribute, None)
    if found is None:
        there = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise AppFailedError(
            f"{path} has no {attribute}. Name the function that returns the bot; there are: "
            f"{', '.join(there[:20]) or 'none'}."
        )
    return found


async def load(client: lightbulb.Client, name: str) -> None:
    """Load an extension into lightbulb. Raises ExtensionFailedError.

    lightbulb itself logs what an extension raises, and goes on without it.
    """
    import_extension(name)
    listener = _Listener()
    _LIGHTBULB.addHandler(listener)
    try:
        await client.load_extensions(name)
    finally:
        _LIGHTBULB.removeHandler(listener)
    if listener.error is not None:
        raise ExtensionFailedError(
            f"the extension {name} could not be loaded: {describe(listener.error)}"
        ) from listener.error


def _how(error: BaseException, module: str) -> str:
    if isinstance(error, SystemExit):
        return f"ends the process when it is imported (exit code {error.code}). Take that call out of it."
    if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{module}.".startswith(f"{error.name}."):
        return (
            f"is not there: no module is named {error.name}. "
            "Install its package beside Flotilla, or put it into the folder FLOTILLA_EXTENSIONS_PATH."
        )
    return f"could not be imported: {hint(error) or describe(error)}"


def describe(error: BaseException) -> str:
    """Return an error as one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]


def hint(error: BaseException) -> str:
    """Return what to do about an error that says too little by itself; empty if it says enough."""
    if not isinstance(error, KeyError) or not error.args or not isinstance(error.args[0], str):
        return ""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None or at.tb_frame.f_globals is not vars(os):
        return ""
    name = error.args[0]
    return (
        f"it reads the environment variable {name}, which is not set. Of the variables where Flotilla is started bots "
        f"get few. Give it to this bot alone, encrypted: flotilla bots secrets NAME set {name}, then restart the bot. "
        f"Or to all bots: name it in FLOTILLA_BOT_ENVIRONMENT, and restart Flotilla. For its own token a bot reads one "
        f"of {', '.join(TOKEN_NAMES)}: Flotilla puts in the real one."
    )
