"""From whatever ended a bot's run to the reason code that decides what happens next."""

import asyncio

import aiohttp
import hikari

from flotilla.domain.reasons import reason_of_close_code, reason_of_status
from worker_bot.gating import SessionRefusedError


class ExtensionFailedError(Exception):
    """The bot's own code raised while it was loaded; the cause is chained."""


def reason_of(error: BaseException) -> str:
    """Return the reason code for an error out of hikari, lightbulb or the bot's own start-up code.

    docs/supervision.md has the table.
    """
    if isinstance(error, ExtensionFailedError):
        return "bot_code_failed"
    if isinstance(error, SessionRefusedError):
        return error.reason_code
    if isinstance(error, hikari.HTTPResponseError):
        return reason_of_status(int(error.status), int(getattr(error, "code", 0)))
    if isinstance(error, hikari.GatewayServerClosedConnectionError):
        return reason_of_close_code(int(error.code)) if error.code is not None else "discord_unreachable"
    if isinstance(error, RuntimeError) and "more sessions than were allowed" in str(error):
        return "session_limit"
    if isinstance(error, hikari.HTTPError | hikari.GatewayError | aiohttp.ClientError | asyncio.TimeoutError | OSError):
        return "discord_unreachable"
    return "bot_code_failed"
