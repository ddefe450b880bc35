import signal

import pytest

from flotilla.domain.reasons import REASONS, Verdict, reason, reason_of_close_code, reason_of_exit, reason_told


def test_every_reason_tells_what_to_do_next() -> None:
    for row in REASONS.values():
        assert row.title
        assert row.explanation.endswith(".")
        assert row.remedy.endswith(".")


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013, 4014])
def test_close_codes_that_discord_calls_final_are_never_retried(code: int) -> None:
    assert reason(reason_of_close_code(code)).verdict is Verdict.GIVE_UP


@pytest.mark.parametrize("code", [4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009])
def test_close_codes_that_discord_calls_retryable_are_retried(code: int) -> None:
    assert reason(reason_of_close_code(code)).verdict is Verdict.WAIT


@pytest.mark.parametrize(
    ("exit_code", "code"),
    [
        (0, "exited"),
        (1, "crashed"),
        (-signal.SIGKILL, "killed"),
        (-signal.SIGTERM, "killed"),
        (-signal.SIGABRT, "aborted"),
        (-signal.SIGSEGV, "segfault"),
        (-signal.SIGBUS, "bus_error"),
        (-signal.SIGILL, "illegal_instruction"),
        (-signal.SIGFPE, "arithmetic_fault"),
        (None, "unseen"),
    ],
)
def test_exit_without_a_word_is_named_by_its_code(exit_code: int | None, code: str) -> None:
    assert reason_of_exit(exit_code) == code


@pytest.mark.parametrize("code", sorted(REASONS))
def test_worker_cannot_have_itself_restarted_uncounted_by_what_it_says_that_it_ends_with(code: str) -> None:
    assert reason(reason_told(code)).verdict is not Verdict.RESTART
    if reason(code).verdict is not Verdict.RESTART:
        assert reason_told(code) == code


def test_reason_of_a_newer_worker_is_treated_as_a_crash() -> None:
    assert reason("invented_in_a_later_release").code == "crashed"
