from sandbox.rest.ratelimit import RateLimiter

NOW = 1_800_000_000.0
MESSAGES = "/channels/{channel_id}/messages"


def test_headers_count_a_bucket_down() -> None:
    limiter = RateLimiter()
    headers = limiter.decide("1", "POST", MESSAGES, "9", NOW).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("5", "4")
    assert headers["X-RateLimit-Reset-After"] == "5.000"
    assert headers["X-RateLimit-Reset"] == f"{NOW + 5:.3f}"


def test_sixth_message_in_five_seconds_is_limited_to_the_user_scope() -> None:
    limiter = RateLimiter()
    decisions = [limiter.decide("1", "POST", MESSAGES, "9", NOW) for _ in range(6)]
    assert [decision.retry_after_s for decision in decisions] == [0, 0, 0, 0, 0, 5]
    assert decisions[5].headers["X-RateLimit-Scope"] == "user"
    assert decisions[5].body() == {
        "message": "You are being rate limited.",
        "retry_after": 5,
        "global": False,
        "code": 0,
    }
    assert limiter.decide("1", "POST", MESSAGES, "9", NOW + 5).retry_after_s == 0


def test_each_channel_and_each_application_has_a_bucket_of_its_own() -> None:
    limiter = RateLimiter()
    for _ in range(5):
        limiter.decide("1", "POST", MESSAGES, "9", NOW)
    assert limiter.decide("1", "POST", MESSAGES, "8", NOW).retry_after_s == 0
    assert limiter.decide("2", "POST", MESSAGES, "9", NOW).retry_after_s == 0


def test_fifty_first_request_in_a_second_is_limited_globally() -> None:
    limiter = RateLimiter()
    decisions = [limiter.decide("1", "GET", f"/route/{number}", "", NOW) for number in range(51)]
    assert not decisions[49].retry_after_s
    assert decisions[50].is_global
    assert decisions[50].headers["X-RateLimit-Global"] == "true"


def test_pruning_keeps_windows_that_still_run() -> None:
    limiter = RateLimiter()
    for _ in range(5):
        limiter.decide("1", "POST", MESSAGES, "9", NOW)
    limiter.prune(NOW + 4)
    assert limiter.decide("1", "POST", MESSAGES, "9", NOW + 4).retry_after_s
    limiter.prune(NOW + 6)
    assert not limiter.decide("1", "POST", MESSAGES, "9", NOW + 6).retry_after_s
