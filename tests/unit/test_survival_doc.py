"""docs/survival.md tells what tests/surroundings tries. UPDATE_DOCS=1 writes it anew."""

import ast
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "surroundings"
PAGE = ROOT / "docs" / "survival.md"

HEAD = """# What it survives, and how we know

Each heading is a thing that happens around a fleet, each line under it one test that does it to real processes and
looks at what holds. This page is made from those tests (`tests/surroundings/`), so it says nothing that is not tried;
*nightly* marks what takes long and runs with `make nightly`, the rest is part of `make test`.
"""


def tried() -> str:
    """Return the page: of each file its docstring, the first line as heading, and its tests as sentences."""
    return "\n".join([HEAD, *(section(path) for path in sorted(TESTS.glob("test_*.py")))])


def section(path: Path) -> str:
    module = ast.parse(path.read_text())
    head, _, rest = (ast.get_docstring(module) or path.stem).partition("\n")
    lines = [f"## {head.rstrip('.')}", *([rest.strip()] if rest.strip() else []), ""]
    return "\n".join([*lines, *(f"- {sentence(test)}" for test in cases(module)), ""])


def cases(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    functions = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [node for node in functions if node.name.startswith("test_")]


def sentence(test: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    words = test.name.removeprefix("test_").replace("_", " ")
    nightly = any("nightly" in ast.unparse(decorator) for decorator in test.decorator_list)
    return words[0].upper() + words[1:] + (" *(nightly)*" if nightly else "")


def test_page_tells_what_the_tests_try() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(tried())
    assert PAGE.read_text() == tried(), "run UPDATE_DOCS=1 pytest tests/unit/test_survival_doc.py"


@pytest.mark.parametrize("path", sorted(TESTS.glob("test_*.py")), ids=lambda path: path.stem)
def test_each_file_says_what_happens_and_has_a_test(path: Path) -> None:
    module = ast.parse(path.read_text())
    assert ast.get_docstring(module)
    assert cases(module)
