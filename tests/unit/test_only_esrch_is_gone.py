"""Nobody takes a look that failed for a death: found in the tree itself, so that the next one is found too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("flotilla", "supervisor", "worker_bot") for path in sorted((ROOT / folder).rglob("*.py"))]
MAY_OPEN_PIDFDS = {"supervisor/processes.py", "flotilla/launch/probes.py"}


def names(node: ast.expr | None) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node is not None else set()


def handlers(module: ast.Module) -> Iterator[ast.ExceptHandler]:
    return (node for node in ast.walk(module) if isinstance(node, ast.ExceptHandler))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_errors_of_every_kind_are_not_answered_as_the_end_of_a_process(path: Path) -> None:
    module = ast.parse(path.read_text())
    for handler in handlers(module):
        caught = names(handler.type)
        assert not {"ProcessLookupError", "OSError"} <= caught, f"line {handler.lineno}: only ESRCH means gone"
    if str(path.relative_to(ROOT)) not in MAY_OPEN_PIDFDS:
        assert "pidfd_open" not in path.read_text(), "supervisor/processes.py knows what its refusal means"
