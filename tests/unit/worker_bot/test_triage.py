from http import HTTPStatus

import aiohttp
import hikari
import pytest

from worker_bot.loading import ExtensionFailedError
from worker_bot.triage import reason_of


def http_error(kind: type[hikari.ClientHTTPResponseError], code: int) -> hikari.ClientHTTPResponseError:
    if kind is hikari.UnauthorizedError:
        return hikari.UnauthorizedError(url="http://127.0.0.1", headers={}, raw_body=b"", message="no", code=code)
    return hikari.ForbiddenError(url="http://127.0.0.1", headers={}, raw_body=b"", message="no", code=code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (http_error(hikari.UnauthorizedError, 0), "token_refused"),
        (http_error(hikari.UnauthorizedError, 40001), "token_refused"),
        (http_error(hikari.UnauthorizedError, 50027), "bot_code_failed"),
        (http_error(hikari.ForbiddenError, 50001), "bot_code_failed"),
        (hikari.GatewayServerClosedConnectionError("no", hikari.ShardCloseCode(4004), False), "token_refused"),
        (hikari.GatewayServerClosedConnectionError("no", hikari.ShardCloseCode(4014), False), "intents_refused"),
        (hikari.GatewayServerClosedConnectionError("no", hikari.ShardCloseCode(4001), False), "discord_unreachable"),
        (RuntimeError("Attempted to start more sessions than were allowed in the given time-window"), "session_limit"),
        (hikari.InternalServerError("http://x", HTTPStatus.BAD_GATEWAY, {}, b""), "discord_unreachable"),
        (hikari.HTTPError("Connection error"), "discord_unreachable"),
        (hikari.GatewayConnectionError("gone"), "discord_unreachable"),
        (aiohttp.ClientConnectionError(), "discord_unreachable"),
        (TimeoutError(), "discord_unreachable"),
        (ExtensionFailedError("shop"), "bot_code_failed"),
        (ZeroDivisionError(), "bot_code_failed"),
        (MemoryError(), "memory_limit"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_ended_a_run_is_named(error: Exception, code: str) -> None:
    assert reason_of(error) == code


def test_extension_that_wants_more_memory_than_there_is_has_reached_the_limit() -> None:
    error = ExtensionFailedError("shop")
    error.__cause__ = MemoryError()
    assert reason_of(error) == "memory_limit"
