from sandbox.gateway.ledger import SessionStarts, Verdict

NOW = 1_800_000_000.0


def test_first_identify_opens_the_window_and_spends_one() -> None:
    starts = SessionStarts()
    assert starts.as_json(NOW) == {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
    assert starts.identify(0, NOW) is Verdict.ACCEPTED
    assert starts.as_json(NOW + 10)["remaining"] == 999
    assert starts.as_json(NOW + 10)["reset_after"] == (86_400 - 10) * 1000


def test_second_identify_within_five_seconds_is_too_fast_and_spends_none() -> None:
    starts = SessionStarts()
    starts.identify(0, NOW)
    assert starts.identify(1, NOW + 4.9) is Verdict.TOO_FAST
    assert starts.remaining(NOW + 5) == 999
    assert starts.identify(0, NOW + 5) is Verdict.ACCEPTED


def test_identify_after_the_thousandth_is_exhausted_until_the_window_ends() -> None:
    starts = SessionStarts(interval_s=0)
    assert all(starts.identify(0, NOW) is Verdict.ACCEPTED for _ in range(1000))
    assert starts.identify(0, NOW) is Verdict.EXHAUSTED
    assert starts.identify(0, NOW + 86_400) is Verdict.ACCEPTED
    assert starts.remaining(NOW + 86_400) == 999


def test_remaining_can_be_set_and_renewed() -> None:
    starts = SessionStarts(interval_s=0)
    starts.set_remaining(1, NOW)
    assert starts.identify(0, NOW) is Verdict.ACCEPTED
    starts.set_remaining(0, NOW)
    assert starts.identify(0, NOW) is Verdict.EXHAUSTED
    starts.renew()
    assert starts.remaining(NOW) == 1000
