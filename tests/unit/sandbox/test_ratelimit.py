import pytest

from sandbox import errors
from sandbox.limits import Quota
from sandbox.rest.ratelimit import (
    CHANNEL_RENAME,
    CHANNEL_WRITE,
    OLD_MESSAGE_EDIT,
    RateLimitedError,
    RateLimiter,
    bucket_of,
)

NOW = 1_800_000_000.0
MESSAGES = bucket_of("POST", "/channels/{channel_id}/messages")
REACTION = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter()


def fill(limiter: RateLimiter, now: float = NOW) -> None:
    for _ in range(5):
        limiter.spend("1", MESSAGES, "9", now)


def test_headers_count_a_bucket_down(limiter: RateLimiter) -> None:
    headers = limiter.spend("1", MESSAGES, "9", NOW)
    assert headers == {
        "X-RateLimit-Bucket": MESSAGES.id,
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "4",
        "X-RateLimit-Reset": f"{NOW + 5:.3f}",
        "X-RateLimit-Reset-After": "5.000",
    }


def test_sixth_message_in_five_seconds_is_limited_to_the_user_scope(limiter: RateLimiter) -> None:
    fill(limiter)
    with pytest.raises(RateLimitedError) as limited:
        limiter.spend("1", MESSAGES, "9", NOW + 0.25)
    assert limited.value.body() == {
        "message": "You are being rate limited.",
        "retry_after": 4.75,
        "global": False,
        "code": 0,
    }
    headers = limited.value.headers
    assert (headers["X-RateLimit-Scope"], headers["Retry-After"]) == ("user", "5")
    assert (headers["X-RateLimit-Remaining"], headers["X-RateLimit-Reset-After"]) == ("0", "4.750")
    assert limiter.spend("1", MESSAGES, "9", NOW + 5)["X-RateLimit-Remaining"] == "4"


def test_each_channel_and_each_application_has_a_window_of_its_own(limiter: RateLimiter) -> None:
    fill(limiter)
    assert limiter.spend("1", MESSAGES, "8", NOW)["X-RateLimit-Remaining"] == "4"
    assert limiter.spend("2", MESSAGES, "9", NOW)["X-RateLimit-Remaining"] == "4"


def test_routes_that_share_a_bucket_spend_the_same_window(limiter: RateLimiter) -> None:
    add, remove = bucket_of("PUT", REACTION), bucket_of("DELETE", REACTION)
    assert add == remove
    limiter.spend("1", add, "9", NOW)
    with pytest.raises(RateLimitedError):
        limiter.spend("1", remove, "9", NOW)


def test_bucket_does_not_depend_on_the_names_of_parameters() -> None:
    ours, other = "/webhooks/{application_id}/{token}", "/webhooks/{webhook_id}/{webhook_token}"
    assert bucket_of("POST", ours) == bucket_of("POST", other)
    assert bucket_of("POST", ours).quota == Quota(5, 2.0)
    assert bucket_of("POST", ours).id != bucket_of("GET", ours).id


def test_fifty_first_request_in_a_second_is_limited_globally(limiter: RateLimiter) -> None:
    for _ in range(50):
        limiter.spend_global("1", NOW)
    with pytest.raises(RateLimitedError) as limited:
        limiter.spend_global("1", NOW + 0.9)
    assert limited.value.headers == {
        "X-RateLimit-Global": "true",
        "X-RateLimit-Scope": "global",
        "Retry-After": "1",
    }
    assert limited.value.body()["global"] is True
    limiter.spend_global("2", NOW)
    limiter.spend_global("1", NOW + 1)


@pytest.mark.parametrize(
    ("hidden", "fault"),
    [
        (CHANNEL_RENAME, errors.RESOURCE_RATE_LIMITED),
        (OLD_MESSAGE_EDIT, errors.TOO_MANY_OLD_EDITS),
        (CHANNEL_WRITE, errors.CHANNEL_WRITE_LIMIT),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_hidden_limit_belongs_to_the_resource_and_has_the_shared_scope(
    limiter: RateLimiter, hidden: object, fault: errors.Fault
) -> None:
    assert isinstance(hidden, type(CHANNEL_RENAME))
    for _ in range(hidden.quota.limit):
        limiter.spend_hidden(hidden, "9", NOW)
    with pytest.raises(RateLimitedError) as limited:
        limiter.spend_hidden(hidden, "9", NOW + 1)
    left_s = hidden.quota.window_s - 1
    assert limited.value.fault == fault
    assert limited.value.headers == {"X-RateLimit-Scope": "shared", "Retry-After": str(round(left_s))}
    assert limited.value.body()["retry_after"] == left_s
    limiter.spend_hidden(hidden, "8", NOW + 1)


def test_limit_that_is_switched_off_refuses_nothing(limiter: RateLimiter) -> None:
    limiter.routes_limited = limiter.global_limited = limiter.hidden_limited = False
    for _ in range(100):
        assert limiter.spend("1", MESSAGES, "9", NOW) == {}
        limiter.spend_global("1", NOW)
        limiter.spend_hidden(CHANNEL_RENAME, "9", NOW)


def test_pruning_keeps_windows_that_still_run(limiter: RateLimiter) -> None:
    fill(limiter)
    limiter.prune(NOW + 4)
    with pytest.raises(RateLimitedError):
        limiter.spend("1", MESSAGES, "9", NOW + 4)
    limiter.prune(NOW + 6)
    assert not limiter._buckets
    assert limiter.spend("1", MESSAGES, "9", NOW + 6)["X-RateLimit-Remaining"] == "4"
