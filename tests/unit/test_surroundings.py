"""What the code must not lean on: it would break in somebody's surroundings."""

import errno
import re
from pathlib import Path

import pytest

from flotilla.domain.health import LOOP_OVER_S, LOOP_S, in_crash_loop, silent_s
from flotilla.surroundings import surroundings_fault

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("api", "flotilla", "jobs", "supervisor", "worker_bot")


def _modules(pattern: str) -> set[str]:
    found = (path for name in PROGRAMS for path in (ROOT / name).rglob("*.py"))
    return {str(path.relative_to(ROOT)) for path in found if re.search(pattern, path.read_text())}


def test_only_what_goes_on_without_one_uses_a_temporary_folder() -> None:
    # The warm-up is left out where there is none, and a bot goes without; a fault is written elsewhere first.
    allowed = {"worker_bot/warmup.py", "flotilla/cli/__init__.py", "worker_bot/confinement.py"}
    assert _modules(r"\btempfile\b") == allowed


def test_nobody_but_one_module_makes_the_urls_of_the_api() -> None:
    assert _modules(r"http://127\.0\.0\.1:?\{|\{(settings\.)?http_host\}:") == set()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "'/x'"),
        (PermissionError(errno.EACCES, "Permission denied", b"/\xff"), "as the user that the fleet runs as"),
        (OSError("without a number"), "without a number"),
        (MemoryError(), "not enough memory"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "no text"),
    ],
)
def test_what_the_surroundings_refuse_is_a_sentence(fault: BaseException, words: str) -> None:
    assert words in str(surroundings_fault(fault))


def test_a_mistake_of_our_own_is_none_of_the_surroundings() -> None:
    assert surroundings_fault(KeyError("x")) is None


def test_four_starts_in_two_minutes_are_a_crash_loop_until_it_settles() -> None:
    starts = [10.0, 40.0, 70.0, 100.0]
    assert in_crash_loop(starts, 101)
    assert not in_crash_loop(starts[1:], 101)
    assert not in_crash_loop(starts, 100 + LOOP_OVER_S + 1)
    assert not in_crash_loop(starts, 10 + LOOP_S + 1)
    assert not in_crash_loop([], 101)


def test_who_says_nothing_at_all_is_not_taken_for_hung() -> None:
    assert silent_s((), None, 100) == 0
    assert silent_s((90,), None, 100) == 10
    assert silent_s((50,), 97, 100) == 3
