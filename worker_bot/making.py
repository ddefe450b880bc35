"""What hikari's bot gets when a bot's own code makes it: the token, where Discord is, and one SSL context for all.

The code is as it was written for plain hikari: whatever token it passes is replaced, and what it says of intents,
cache, proxies and its like stays. A bot that is made where none may be is refused in the author's own line.
"""

import contextlib
import logging
import os
import ssl
from typing import Any, Final

import hikari
from hikari.impl import config as hikari_config

PLACEHOLDER: Final = "MDAwMDAwMDAwMDAwMDAwMDAw.flotilla.puts-the-real-token-in-its-place"
"""What bots find where they look for their token. It opens nothing."""

TOKEN_NAMES: Final = ("TOKEN", "BOT_TOKEN", "DISCORD_TOKEN", "DISCORD_BOT_TOKEN")
"""Environment variables in which bots look for their token."""

# Built once, before any fork: shared by every worker it saves about 3 MB each.
SSL_CONTEXT: Final = ssl.create_default_context()

log = logging.getLogger("flotilla.worker")


class AppFailedError(Exception):
    """A whole bot of the operator's own cannot be run. The message says what to do; a cause is chained."""


class MadeTooEarlyError(BaseException):
    """A module makes its bot as it is imported, where none may be made. Not an Exception: it must pass the module."""


class _Making:
    """What is put into the one bot of this process."""

    def __init__(self, token: str, rest_url: str) -> None:
        self.token = token
        self.rest_url = rest_url
        self.bot: hikari.GatewayBot | None = None


_making: list[_Making] = []
_too_early: list[bool] = []
_starting: list[bool] = []
_ended: list[hikari.GatewayBot] = []


def put_in(token: str, rest_url: str) -> None:
    """Let the next bot that this process makes have this token, at this REST base; a second one is refused."""
    _making[:] = [_Making(token, rest_url)]


def forget() -> None:
    """Let bots be made as hikari makes them."""
    _making.clear()


def give_token(bot: hikari.GatewayBot, token: str, rest_url: str) -> None:
    """Put the token into a bot that was made without one, and tell it where Discord is. Raises ValueError as hikari."""
    token = token.strip()
    bot._token_id, bot._token = hikari.applications.get_token_id(token), token
    bot._rest._token, bot._rest._rest_url = f"{hikari.TokenType.BOT} {token}", rest_url


@contextlib.contextmanager
def forbidden() -> Any:  # noqa: ANN401 - a context manager
    """Let no bot be made meanwhile: MadeTooEarlyError."""
    _too_early.append(True)
    try:
        yield
    finally:
        _too_early.pop()


async def start(bot: hikari.GatewayBot, **presence: Any) -> None:  # noqa: ANN401 - as hikari's start has it
    """Start a bot, which nobody else may, and let it show itself so. Returns when its shards are up."""
    _starting.append(True)
    try:
        await bot.start(check_for_updates=False, **presence)
    finally:
        _starting.clear()


async def close(bot: hikari.GatewayBot) -> None:
    """Close a bot for Flotilla's own reasons."""
    await _close_as_hikari(bot)


def is_ended(bot: hikari.GatewayBot) -> bool:
    """Return whether the bot's own code has closed it."""
    return any(each is bot for each in _ended)


def offer_placeholders() -> None:
    """Put something where bots look for their token, unless there is something: `os.environ["TOKEN"]` must not fail."""
    for name in TOKEN_NAMES:
        os.environ.setdefault(name, PLACEHOLDER)


def _level(logs: Any) -> None:  # noqa: ANN401 - whatever hikari takes
    """Log as much as the author wants; where it goes is not the author's to say."""
    if isinstance(logs, str | int):
        with contextlib.suppress(ValueError, TypeError):
            logging.getLogger().setLevel(logs)
    elif logs is not None:
        log.info("the bot's own set-up of its logs is left out: what it logs goes to the bot's log")


def _make(bot: hikari.GatewayBot, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    if _too_early:
        raise MadeTooEarlyError
    if not _making:
        _init(bot, *arguments, **named)
        return
    making = _making[0]
    if making.bot is not None and making.bot is not bot:
        raise AppFailedError(
            "The code makes a second hikari.GatewayBot, and a worker runs one. "
            "Make one bot here, and add the other one to the fleet with its own token."
        )
    _level(named.get("logs", "INFO"))
    ours = {"rest_url": making.rest_url, "banner": None, "logs": None, "suppress_optimization_warning": True}
    kept = {name: value for name, value in named.items() if name != "token"}
    _init(bot, making.token, *arguments[1:], **kept | ours)
    making.bot = bot


def _run(bot: hikari.GatewayBot, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    if not _making:
        _run_as_hikari(bot, *arguments, **named)
        return
    raise AppFailedError(
        "The code calls bot.run(), and it is Flotilla that runs the bot. "
        'Return the bot instead, or put that call under `if __name__ == "__main__":`.'
    )


async def _start(bot: hikari.GatewayBot, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
    if _making and not _starting:
        raise AppFailedError("The code calls bot.start(), and it is Flotilla that starts the bot. Leave that call out.")
    _starting.clear()
    await _start_as_hikari(bot, *arguments, **named)


async def _close(bot: hikari.GatewayBot) -> None:
    _ended.append(bot)
    await _close_as_hikari(bot)


def _ssl_context(value: Any) -> ssl.SSLContext:  # noqa: ANN401 - bool or context, as hikari has it
    return SSL_CONTEXT if value is True else _make_context(value)


_init, _run_as_hikari, _start_as_hikari = hikari.GatewayBot.__init__, hikari.GatewayBot.run, hikari.GatewayBot.start
_close_as_hikari = hikari.GatewayBot.close
_make_context = hikari_config._ssl_factory

hikari.GatewayBot.__init__ = _make  # type: ignore[method-assign, assignment]
hikari.GatewayBot.run = _run  # type: ignore[method-assign, assignment]
hikari.GatewayBot.start = _start  # type: ignore[method-assign, assignment]
hikari.GatewayBot.close = _close  # type: ignore[method-assign, assignment]
hikari_config._ssl_factory = _ssl_context
