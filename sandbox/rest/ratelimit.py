"""REST rate limits: one bucket per route and top-level resource, and the global limit, for each application."""

import hashlib
from dataclasses import dataclass

from sandbox import limits
from sandbox.limits import Quota


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


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass, and the headers that say so. `retry_after_s` is 0 when it may."""

    headers: dict[str, str]
    retry_after_s: float = 0.0
    is_global: bool = False

    def body(self) -> dict[str, object]:
        """Return Discord's body of a 429."""
        return {
            "message": "You are being rate limited.",
            "retry_after": round(self.retry_after_s, 3),
            "global": self.is_global,
            "code": 0,
        }


class RateLimiter:
    """Decides about requests by application, method, route and top-level resource."""

    def __init__(self) -> None:
        self._global: dict[str, Window] = {}
        self._buckets: dict[tuple[str, str, str, str], Window] = {}

    def decide(self, application_id: str, method: str, route: str, resource: str, now: float) -> Decision:
        """Spend one request of the application and return the decision.

        route: the path with its parameters' names, such as `/channels/{channel_id}/messages`.
        resource: the value of the top-level resource in it, or "".
        """
        everything = self._global.setdefault(application_id, Window(Quota(limits.GLOBAL_REQUESTS_PER_S, 1.0)))
        if not everything.take(now):
            retry_after_s = everything.ends_at - now
            headers = {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global", "Retry-After": _up(retry_after_s)}
            return Decision(headers, retry_after_s, is_global=True)
        key = (application_id, method, route, resource)
        window = self._buckets.get(key)
        if window is None:
            window = self._buckets[key] = Window(limits.QUOTAS.get((method, route), limits.QUOTA_DEFAULT))
        allowed = window.take(now)
        left_s = window.ends_at - now
        headers = {
            "X-RateLimit-Bucket": hashlib.md5(f"{method} {route}".encode(), usedforsecurity=False).hexdigest(),
            "X-RateLimit-Limit": str(window.quota.limit),
            "X-RateLimit-Remaining": str(max(0, window.quota.limit - window.used)),
            "X-RateLimit-Reset": f"{window.ends_at:.3f}",
            "X-RateLimit-Reset-After": f"{left_s:.3f}",
        }
        if allowed:
            return Decision(headers)
        return Decision(headers | {"X-RateLimit-Scope": "user", "Retry-After": _up(left_s)}, left_s)

    def prune(self, now: float) -> None:
        """Forget windows that have ended, so that one-off resources such as webhook tokens do not pile up."""
        self._buckets = {key: window for key, window in self._buckets.items() if window.ends_at > now}


def _up(seconds: float) -> str:
    return str(int(seconds) + 1)
