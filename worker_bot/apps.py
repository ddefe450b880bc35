"""Makes a whole bot of the operator's own, by the name of the function that returns it."""

import asyncio
import inspect
from typing import Any, Final

import hikari

from worker_bot import making
from worker_bot.loading import describe, hint, import_app
from worker_bot.making import AppFailedError

_MAY_STAY_EMPTY: Final = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_SHAPE: Final = "a function without arguments, or with one that is named `token`, which returns a hikari.GatewayBot"


def make(name: str, token: str, rest_url: str) -> hikari.GatewayBot:
    """Return the bot. name: `package.module:function`, or a bot in place of the function. Raises AppFailedError.

    Whatever token the code passes, the bot has this one, and asks Discord at `rest_url`. From now on the process makes
    no second bot, and starts none but with `making.start`.
    """
    making.put_in(token, rest_url)
    found = import_app(name)
    bot = found if isinstance(found, hikari.GatewayBot) else _called(name, found, token)
    if not isinstance(bot, hikari.GatewayBot):
        raise AppFailedError(f"{name} returns {_kind(bot)}, not a bot. It must be {_SHAPE}.")
    return bot


def _called(name: str, function: object, token: str) -> object:
    if not callable(function):
        raise AppFailedError(f"{name} is {_kind(function)}. It must be {_SHAPE}.")
    arguments = {"token": token} if _takes_token(name, function) else {}
    try:
        made = function(**arguments)
    except AppFailedError:
        raise
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise AppFailedError(f"{name} ends the process ({error.code}). It must return the bot.") from error
        raise AppFailedError(f"{name} failed: {hint(error) or describe(error)}") from error
    if asyncio.iscoroutine(made):
        made.close()
        raise AppFailedError(f"{name} is async. Make it a plain function; what must be awaited goes into a listener.")
    return made


def _takes_token(name: str, function: Any) -> bool:  # noqa: ANN401 - anything that can be called
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # it is written in C
        return False
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in _MAY_STAY_EMPTY]
    if any(argument != "token" for argument in needed):
        raise AppFailedError(f"{name} wants the arguments {', '.join(needed)}. It must be {_SHAPE}.")
    return any(p.name == "token" and p.kind is not p.POSITIONAL_ONLY for p in parameters)


def _kind(found: object) -> str:
    kind = type(found)
    place = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return "nothing" if found is None else f"a {place}{kind.__qualname__}"
