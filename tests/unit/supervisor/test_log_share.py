"""No bot fills the log that the others need; how many of its lines were left out is said."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from flotilla.domain.shares import LOG_BYTES
from flotilla.log import configure_logging, share_lines
from supervisor import log_share as module
from supervisor.log_share import LogShare

log = structlog.get_logger()


class Case:
    def __init__(self) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.share = LogShare(lambda: self.now)
        configure_logging("test", "INFO", json=True, stream=self.stream)
        share_lines(self.share)

    def lines(self, action: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [row for row in rows if row["action"] == action]


@pytest.fixture
def case() -> Iterator[Case]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Case()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def flood(count: int = 1000) -> None:
    for _ in range(count):
        log.warning("flood", bot="bad", detail="x" * 1000)


def test_bot_that_floods_the_log_has_its_share_of_lines_and_so_many_more(case: Case) -> None:
    flood()
    there = len(case.lines("flood"))
    assert there * 1000 <= LOG_BYTES.at_once
    case.share.tell_left_out()
    [row] = case.lines("log.and_more")
    assert (row["bot"], row["lines"]) == ("bad", 1000 - there)
    case.share.tell_left_out()
    assert len(case.lines("log.and_more")) == 1
    case.now = 60.0
    flood()
    assert (len(case.lines("flood")) - there) * 1000 <= LOG_BYTES.per_minute


def test_lines_of_others_of_the_host_and_errors_come_through_a_flood(case: Case) -> None:
    flood()
    log.info("mine", bot="good")
    log.warning("hosts")
    log.error("serious", bot="bad")
    assert all(len(case.lines(action)) == 1 for action in ("mine", "hosts", "serious"))


def test_strangers_share_one_share_whoever_they_say_they_are(case: Case) -> None:
    for number in range(1000):
        log.warning("refused", stranger=f"process {number}", bot_id="x" * 900)
    log.info("mine", bot="good")
    there = len(case.lines("refused"))
    assert there * 900 <= LOG_BYTES.at_once
    assert len(case.lines("mine")) == 1
    case.share.tell_left_out()
    [row] = case.lines("log.and_more")
    assert row["lines"] == 1000 - there


def test_no_line_about_a_peer_that_is_not_known_lacks_its_share() -> None:
    """Each line of the modules that speak with peers names a bot, or a stranger."""
    folder = Path(module.__file__).parent
    for name in ("link.py", "control.py"):
        for call in ast.walk(ast.parse((folder / name).read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log."):
                fields = {keyword.arg for keyword in call.keywords}
                assert fields & {"bot", "stranger"}, ast.unparse(call)
