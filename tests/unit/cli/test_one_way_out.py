"""The command line reaches a terminal by terminal.py and drawing.py alone, where what others wrote is filtered."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flotilla

ROOT = Path(flotilla.__file__).parent
OWN = {ROOT / "cli" / "terminal.py": {"import"}, ROOT / "cli" / "drawing.py": {"name"}}
"""The two, each with what it is denied all the same."""
FILES = sorted(path for folder in ("cli", "launch") for path in (ROOT / folder).rglob("*.py"))
NAMES = re.compile(
    r"print|sys\.__std(out|err)__|sys\.std(out|err)\.(write|writelines|buffer|detach|reconfigure)|.*\.rich_proxied_file"
    r"|typer\.(echo|echo_via_pager|secho|confirm|prompt|style|progressbar)|os\.write\([12],.*"
)
MODULES = re.compile(r"(rich|click)(\..*)?|sys\.std(out|err)|typer\.(echo|secho|confirm|prompt)")


def ways_out(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and kind of each way from a program to its terminal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            inside = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            if any(MODULES.fullmatch(inside + name.name) for name in node.names):
                yield node.lineno, "import"
        elif isinstance(node, ast.Name | ast.Attribute | ast.Call) and NAMES.fullmatch(ast.unparse(node)):
            yield node.lineno, "name"


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_nothing_is_printed_around_the_filter(path: Path) -> None:
    """Say it with `say`, `say_lines`, `say_block` or `say_json`, draw it with `drawing`, ask with `ask`."""
    denied = OWN.get(path, {"name", "import"})
    found = [f"{path.name}:{line}" for line, kind in ways_out(ast.parse(path.read_text())) if kind in denied]
    assert found == []


def test_each_way_out_is_seen() -> None:
    ways = [
        *("print('x')", "say = print", "sys.stdout.write('x')", "sys.stderr.buffer", "sys.__stdout__.write('x')"),
        *(
            "typer.echo('x')",
            "typer.confirm('x')",
            "from typer import echo",
            "os.write(1, b'x')",
            "from sys import stdout",
        ),
        *("from rich import print", "import rich.console", "from rich.text import Text", "import click"),
        "stream.rich_proxied_file",
    ]
    assert [way for way in ways if not list(ways_out(ast.parse(way)))] == []
