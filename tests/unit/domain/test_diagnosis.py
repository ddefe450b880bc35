import pytest

from flotilla.domain.diagnosis import exit_in_words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "not seen"),
        (0, "exit code 0"),
        (78, "exit code 78"),
        (-9, "signal 9 (SIGKILL)"),
        (-11, "signal 11 (SIGSEGV)"),
        (-200, "signal 200"),
    ],
)
def test_exit_code_is_told_in_words(code: int | None, words: str) -> None:
    assert exit_in_words(code) == words
