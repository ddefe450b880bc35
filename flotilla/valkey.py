"""One way to reach Valkey or Redis, whichever it is and however it is addressed."""

import redis.asyncio as redis
from redis import exceptions

from flotilla.errors import RetryError, SetupError

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


PROBE = "flotilla:probe"
PROBE_MS = 10_000
"""The key that tells whether writes are taken; gone by itself."""


def refusal(fault: Exception) -> RetryError:
    """Return what to tell the operator of a server that does not answer, or answers and takes no writes."""
    if isinstance(fault, exceptions.OutOfMemoryError):
        what = "is full and takes no writes. Raise its maxmemory, or see who fills it: redis-cli --bigkeys"
    elif isinstance(fault, exceptions.ReadOnlyError):
        what = "is a read-only replica. Name its primary with FLOTILLA_REDIS_URL, or make this one the primary"
    elif isinstance(fault, exceptions.AuthenticationError | exceptions.NoPermissionError):
        what = "refuses this user or password. Mend FLOTILLA_REDIS_URL, or what its user may do (ACL)"
    elif str(fault).startswith("MISCONF"):
        what = "takes no writes because it cannot save to its disk (MISCONF). Free space there; its log says more"
    elif isinstance(fault, exceptions.BusyLoadingError):
        what = "loads its data still. Wait for it"
    elif isinstance(fault, exceptions.ResponseError):
        what = f"refuses writes ({str(fault).partition(' ')[0]}). Its log says why"
    else:
        return RetryError(
            f"Redis does not answer ({type(fault).__name__}). Check that it runs and that FLOTILLA_REDIS_URL is right, "
            "or unset it to use a private Valkey.",
            code="redis_unreachable",
        )
    return RetryError(f"Redis {what}. Until then orders take seconds longer and live metrics stand still.")
