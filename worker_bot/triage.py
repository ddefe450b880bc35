"""From whatever ended a bot's run to the reason code that decides what happens next."""

import asyncio

import aiohttp
import hikari

from flotilla.domain.reasons import reason_of_close_code, reason_of_status
from flotilla.tasks import SideTaskError
from worker_bot.gating import SessionRefusedError
from worker_bot.loading import ExtensionFailedError
from worker_bot.making import AppFailedError
from worker_bot.rest import RequestHeldBackError


class TokenRefusedError(Exception):
    """Discord refuses the token of a bot that runs."""


_OURS: dict[type[BaseException], str] = {
    ExtensionFailedError: "bot_code_failed",
    AppFailedError: "bot_code_failed",
    TokenRefusedError: "token_refused",
    RequestHeldBackError: "request_budget",
    SideTaskError: "crashed",
}


def reason_of(error: BaseException) -> str:
    """Return the reason code for an error out of hikari, lightbulb or the bot's own start-up code.

    docs/supervision.md has the table.
    """
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return "memory_limit"
    if isinstance(error.__cause__, SystemExit) and error.__cause__.code in {None, 0}:
        return "exited"  # the bot's code ends the process on purpose, as it is imported or made
    for ours, code in _OURS.items():
        if isinstance(error, ours):
            return code
    if isinstance(error, SessionRefusedError):
        return error.reason_code
    return _reason_of_discords(error)


def _reason_of_discords(error: BaseException) -> str:
    if isinstance(error, hikari.HTTPResponseError):
        return reason_of_status(int(error.status), int(getattr(error, "code", 0)))
    if isinstance(error, hikari.GatewayServerClosedConnectionError):
        return reason_of_close_code(int(error.code)) if error.code is not None else "discord_unreachable"
    if isinstance(error, RuntimeError) and "more sessions than were allowed" in str(error):
        return "session_limit"
    if isinstance(error, hikari.HTTPError | hikari.GatewayError | aiohttp.ClientError | asyncio.TimeoutError | OSError):
        return "discord_unreachable"
    return "bot_code_failed"
