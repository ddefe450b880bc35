"""Every command that a remedy, an error or a page of the docs names exists, and takes what is written behind it.

Looked for in all texts of the programs (docstrings are for those who read code) and in all pages for users.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flotilla.domain.reasons import REASONS, Verdict
from tests.printed_commands import commands_in, faults_of, is_name_alone, texts_of, written

ROOT = Path(__file__).parents[3]
PROGRAMS = ("flotilla", "supervisor", "worker_bot", "api", "jobs")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def printed() -> Iterator[tuple[str, list[str]]]:
    """Yield each command that our programs print, with where."""
    for program in PROGRAMS:
        for path in sorted((ROOT / program).rglob("*.py")):
            for line, text in texts_of(path):
                for words in commands_in(text):
                    yield f"{path.relative_to(ROOT)}:{line}", words


def documented() -> Iterator[tuple[str, list[str]]]:
    """Yield each command that the pages show, in a line or in a block of code."""
    for path in PAGES:
        in_block = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.relative_to(ROOT)}:{number}"
            in_block ^= line.startswith("```")
            if in_block and re.match(r"(\$ )?flotilla [a-z]", line):
                for words in written(line.removeprefix("$ ")):
                    yield where, words
            elif not in_block:
                for words in commands_in(line):
                    yield where, words


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folders are that examples name."""
    (tmp_path / "bots").mkdir()
    monkeypatch.chdir(tmp_path)


def test_every_command_that_is_printed_can_be_given() -> None:
    found = list(printed())
    assert len(found) > 60
    assert [(where, words, fault) for where, words in found if (fault := faults_of(words))] == []


def test_every_command_in_the_docs_can_be_given() -> None:
    found = [(where, words) for where, words in documented() if not is_name_alone(words)]
    assert len(found) > 100
    assert [(where, words, fault) for where, words in found if (fault := faults_of(words))] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("See: flotilla bots ls", [["bots", "ls"]]),
        ("Then: flotilla bots token NAME. All else stays.", [["bots", "token", "NAME"]]),
        ("It waits; `flotilla bots start NAME` may use it.", [["bots", "start", "NAME"]]),
        ("raise it: flotilla bots policy NAME memory_limit_mb=…", [["bots", "policy", "NAME", "memory_limit_mb=…"]]),
        ("Run `flotilla down`, then `flotilla up --demo`.", [["down"], ["up", "--demo"]]),
        ("Somebody runs flotilla for fun.", []),
    ],
)
def test_commands_are_found_in_sentences(text: str, words: list[list[str]]) -> None:
    assert list(commands_in(text)) == words


def test_what_does_not_exist_or_fit_is_found() -> None:
    assert faults_of(["bots", "remove", "x"])
    assert faults_of(["bots", "rm", "x", "--force"])
    assert faults_of(["stock", "list"])
    assert faults_of(["bots", "rm", "x"]) is None


def test_whoever_is_given_up_is_told_a_command_that_starts_it_again() -> None:
    for row in REASONS.values():
        if row.verdict is Verdict.GIVE_UP:
            *_, last = commands_in(row.remedy)
            assert last in (["bots", "start", "NAME"], ["bots", "token", "NAME"]), row.code
