"""No task fails silently: found in the tree itself, so that the next one is found too."""

import ast
import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest
import structlog

from flotilla.program import run_program
from flotilla.settings import Settings
from flotilla.tasks import SideTaskError, awaited, spawn, telling
from tests.stack import until

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("flotilla", "supervisor", "worker_bot", "api", "jobs")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
THE_ONE_PLACE = "flotilla/tasks.py"
MAKES_TASKS = {"create_task", "ensure_future", "gather", "run_coroutine_threadsafe", "eager_start"}
GROUPS = {"group", "_group"}
"""Names of task groups, which end with what their tasks raise."""


def made_in(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield where a task is made that nobody awaits at once, and by what name."""
    awaited_at_once = {id(node.value.func) for node in ast.walk(module) if is_awaited_call(node)}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node.attr in MAKES_TASKS:
            owner = node.value
            named = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            in_group = node.attr == "create_task" and named in GROUPS
            if not in_group and not (node.attr == "gather" and id(node) in awaited_at_once):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in MAKES_TASKS)


def is_awaited_call(node: ast.AST) -> TypeGuard["AwaitedCall"]:
    return isinstance(node, ast.Await) and isinstance(node.value, ast.Call)


class AwaitedCall(ast.Await):
    value: ast.Call


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tasks_are_made_in_one_place_where_none_can_fail_unseen(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = list(made_in(ast.parse(path.read_text())))
    assert not found or name == THE_ONE_PLACE, f"{found}: use flotilla.tasks"


def test_what_makes_tasks_is_found() -> None:
    code = (
        "asyncio.create_task(x)\nloop.create_task(x)\nasyncio.get_running_loop().create_task(x)\ngroup.create_task(x)"
    )
    assert [line for line, _ in made_in(ast.parse(code))] == [1, 2, 3]
    assert list(made_in(ast.parse("from asyncio import ensure_future")))


async def fail() -> None:
    raise ZeroDivisionError("by nothing")


async def test_task_that_fails_is_told_by_its_name_or_dealt_with() -> None:
    told: list[tuple[str, BaseException]] = []
    dealt_with: list[BaseException] = []
    with telling(lambda name, error: told.append((name, error))):
        spawn("one", fail())
        spawn("two", fail(), dealt_with.append)
        spawn("cancelled", asyncio.sleep(60)).cancel()
        assert await spawn("well", asyncio.sleep(0, 7)) == 7
        with pytest.raises(ZeroDivisionError):
            await awaited(fail())
        await until(lambda: told and dealt_with, "both are told")
    assert [name for name, _ in told] == ["one"]
    assert isinstance(told[0][1], ZeroDivisionError)
    assert isinstance(dealt_with[0], ZeroDivisionError)


async def test_task_that_fails_where_nobody_is_told_is_the_event_loops_to_tell() -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    spawn("one", fail())
    await until(lambda: told, "it is told")
    assert told[0]["message"] == "one failed"


@pytest.fixture
def logging_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("FLOTILLA_HOME", str(tmp_path))
    monkeypatch.setenv("FLOTILLA_LOG_FORMAT", "json")
    monkeypatch.setattr("flotilla.program.wear_mark", lambda _: None)  # it limits what this process may write
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_json")
def test_program_ends_loudly_with_what_a_side_task_raised(capsys: pytest.CaptureFixture[str]) -> None:
    ended = []

    async def main(_settings: Settings) -> None:
        spawn("the lock", fail())
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("in order")

    with pytest.raises(SideTaskError, match="the lock failed: ZeroDivisionError: by nothing"):
        run_program("test", main)
    assert ended == ["in order"]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [row] = [row for row in lines if row["action"] == "task.failed"]
    assert (row["task"], row["level"]) == ("the lock", "critical")
    assert "ZeroDivisionError" in row["exception"]
