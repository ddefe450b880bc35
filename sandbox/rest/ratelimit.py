"""REST rate limits: a bucket per route and top-level resource, the global limit, and limits no header announces. Pure.

Every limit is a fixed window that opens with its first request.
"""

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from sandbox import errors, limits
from sandbox.errors import DiscordError, Fault
from sandbox.limits import Quota

K = TypeVar("K")
_PARAMETER = re.compile(r"\{[^}]*\}")
_GLOBAL = Quota(limits.GLOBAL_REQUESTS_PER_S, 1.0)


@dataclass(slots=True)
class Window:
    """A fixed window of requests. `ends_at` is in Unix seconds."""

    quota: Quota
    ends_at: float = 0.0
    used: int = 0

    def take(self, now: float) -> bool:
        """Spend one request; return whether the window allowed it."""
        if now >= self.ends_at:
            self.ends_at, self.used = now + self.quota.window_s, 0
        self.used += 1
        return self.used <= self.quota.limit


class Bucket(NamedTuple):
    """What a route spends: `id` is X-RateLimit-Bucket, the same for all routes that share it."""

    id: str
    quota: Quota


def _nameless(method: str, route: str) -> tuple[str, str]:
    return method, _PARAMETER.sub("{}", route)


_QUOTAS = {_nameless(*route): quota for route, quota in limits.QUOTAS.items()}
_SHARED = {_nameless(*route): _nameless(*owner) for route, owner in limits.SHARED_BUCKETS.items()}


@lru_cache(maxsize=4_096)  # a fault asks with paths that the client chose
def bucket_of(method: str, route: str) -> Bucket:
    """Return the bucket of a route.

    route: the path with its parameters in braces, such as `/channels/{channel_id}/messages`.
    """
    own = _nameless(method, route)
    owner = _SHARED.get(own, own)
    name = hashlib.md5(" ".join(owner).encode(), usedforsecurity=False).hexdigest()
    return Bucket(name, _QUOTAS.get(owner, limits.QUOTA_DEFAULT))


class Hidden(NamedTuple):
    """A limit of one resource that all bots share and no header announces before it is reached."""

    kind: str
    quota: Quota
    fault: Fault


# Documented: the messages. Observed: scope "shared" for a channel's name and for 20028; for 30046 it is ours.
CHANNEL_RENAME = Hidden("channel_rename", limits.CHANNEL_RENAME, errors.RESOURCE_RATE_LIMITED)
OLD_MESSAGE_EDIT = Hidden("old_message_edit", limits.OLD_MESSAGE_EDIT, errors.TOO_MANY_OLD_EDITS)
CHANNEL_WRITE = Hidden("channel_write", limits.CHANNEL_WRITE, errors.CHANNEL_WRITE_LIMIT)


class RateLimitedError(DiscordError):
    """A request over a limit. `scope` is `user`, `global` or `shared`; `headers` are those of the answer."""

    def __init__(self, fault: Fault, retry_after_s: float, scope: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(fault)
        self.retry_after_s = retry_after_s
        self.scope = scope
        self.headers = (headers or {}) | {
            "X-RateLimit-Scope": scope,
            "Retry-After": str(max(1, math.ceil(retry_after_s))),
        }

    def body(self) -> dict[str, object]:
        """Return Discord's body of a 429."""
        return {
            "message": self.fault.message,
            "retry_after": round(self.retry_after_s, 3),
            "global": self.scope == "global",
            "code": self.fault.code,
        }


def _new(windows: dict[K, Window], key: K, quota: Quota) -> Window:
    """Add a window; with too many of them, the oldest is forgotten."""
    if len(windows) >= limits.WINDOWS_KEPT:
        del windows[next(iter(windows))]
    window = windows[key] = Window(quota)
    return window


class RateLimiter:
    """Counts requests, and refuses those over a limit. The switches turn single limits off, for benchmarks."""

    def __init__(self) -> None:
        self.routes_limited = True
        self.global_limited = True
        self.hidden_limited = True
        self._global: dict[str, Window] = {}
        self._buckets: dict[tuple[str, str, str], Window] = {}
        self._hidden: dict[tuple[str, str], Window] = {}

    def spend(self, caller: str, bucket: Bucket, resource: str, now: float) -> dict[str, str]:
        """Spend one request of a bucket and return the headers that say what is left of it.

        caller: who is limited: an application, an authorization, an IP address.
        resource: the top-level resource in the path, or "".
        Raises RateLimitedError with scope `user`.
        """
        if not self.routes_limited:
            return {}
        key = (caller, bucket.id, resource)
        window = self._buckets.get(key)
        if window is None:
            window = _new(self._buckets, key, bucket.quota)
        allowed = window.take(now)
        limit, left_s = bucket.quota.limit, window.ends_at - now
        headers = {
            "X-RateLimit-Bucket": bucket.id,
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - window.used)),
            "X-RateLimit-Reset": f"{window.ends_at:.3f}",
            "X-RateLimit-Reset-After": f"{left_s:.3f}",
        }
        if not allowed:
            raise RateLimitedError(errors.RATE_LIMITED, left_s, "user", headers)
        return headers

    def spend_global(self, caller: str, now: float) -> None:
        """Spend one of the caller's requests of this second. Raises RateLimitedError with scope `global`."""
        if not self.global_limited:
            return
        window = self._global.get(caller)
        if window is None:
            window = _new(self._global, caller, _GLOBAL)
        if not window.take(now):
            raise RateLimitedError(errors.RATE_LIMITED, window.ends_at - now, "global", {"X-RateLimit-Global": "true"})

    def spend_hidden(self, hidden: Hidden, key: str, now: float) -> None:
        """Spend one action on the resource `key`, such as a channel's id. Raises RateLimitedError, scope `shared`."""
        if not self.hidden_limited:
            return
        window = self._hidden.get((hidden.kind, key))
        if window is None:
            window = _new(self._hidden, (hidden.kind, key), hidden.quota)
        if not window.take(now):
            raise RateLimitedError(hidden.fault, window.ends_at - now, "shared")

    def prune(self, now: float) -> None:
        """Forget windows that have ended, so that one-off resources such as webhook tokens do not pile up."""
        self._global = {key: window for key, window in self._global.items() if window.ends_at > now}
        self._buckets = {key: window for key, window in self._buckets.items() if window.ends_at > now}
        self._hidden = {key: window for key, window in self._hidden.items() if window.ends_at > now}
