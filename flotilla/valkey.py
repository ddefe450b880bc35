"""One way to reach Valkey or Redis, whichever it is and however it is addressed."""

import redis.asyncio as redis

from flotilla.errors import SetupError

TIMEOUT_S = 2.0
AWAY = (redis.RedisError, OSError, EOFError)
"""What the client raises while the server is away; every caller goes on without it."""


def connection_pool(url: str) -> redis.ConnectionPool:
    """Return a pool for `url` (redis://…, rediss://… or unix://…); nothing is connected yet.

    Raises SetupError (`redis_url_invalid`) for anything else; a password never appears in the message.
    """
    try:
        return redis.ConnectionPool.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    except ValueError:
        raise SetupError(
            "FLOTILLA_REDIS_URL is not a URL of Valkey or Redis. "
            "Use redis://host:6379/0, rediss://… or unix:///path/to/the.sock.",
            code="redis_url_invalid",
        ) from None
