"""No program forgets what keeps its files and its memory to its user: whatever can be run goes through one function."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "flotilla", "jobs", "supervisor", "worker_bot")
ELSEWHERE = {
    "flotilla/launch/foreground.py": "supervisord, in an environment of its own; started by a command that did",
    "supervisor/__main__.py": "supervisor.program.run, once the fork server is on its way",
    "flotilla/__main__.py": "flotilla.cli.main",
}
STARTERS = {"harden", "run_program"}
SHOW = """
import json, os, resource, sys
from ctypes import CDLL
def show():
    umask = os.umask(0)
    dumpable, no_new_privileges = CDLL(None).prctl(3, 0, 0, 0, 0), CDLL(None).prctl(39, 0, 0, 0, 0)
    print(json.dumps([umask, list(resource.getrlimit(resource.RLIMIT_CORE)), dumpable, no_new_privileges]), flush=True)
"""
AS_PROGRAM = """
from flotilla.program import run_program
async def main(settings): show()
sys.exit(run_program("test", main))
"""
AS_COMMAND = """
import atexit
atexit.register(show)
from flotilla.cli import main
sys.argv = ["flotilla", "--help"]
sys.stdout, out = open(os.devnull, "w"), sys.stdout
code = main()
sys.stdout = out
sys.exit(code)
"""


def runnable() -> list[str]:
    """Return what can be run with `python -m`, or by its path."""
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [str(path.relative_to(ROOT)) for path in modules if path.name == "__main__.py" or _has_main(path)]


def _has_main(path: Path) -> bool:
    return any(_is_main(node) for node in ast.parse(path.read_text()).body)


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__ == '__main__'" in ast.unparse(node.test)


@pytest.mark.parametrize("path", runnable())
def test_what_can_be_run_is_hardened_first(path: str) -> None:
    if path in ELSEWHERE:
        return
    module = ast.parse((ROOT / path).read_text())
    bodies = [node.body for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == "main"]
    bodies.append([node for node in module.body if _is_main(node)])
    firsts = [ast.unparse(next(node for node in body if not _is_docstring(node))) for body in bodies if body]
    assert any(f"{starter}(" in first for first in firsts for starter in STARTERS), path


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_nothing_else_sets_what_that_one_place_sets() -> None:
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        if path != ROOT / "flotilla" / "hardening.py":
            text = path.read_text()
            assert "os.umask(" not in text, path
            assert "forbid_core_dumps" not in text, path
            assert "RLIMIT_CORE" not in text, path


@pytest.mark.parametrize("code", [AS_PROGRAM, AS_COMMAND], ids=["a program", "a command"])
def test_files_and_memory_are_its_users_alone(code: str, tmp_path: Path) -> None:
    environment = {"FLOTILLA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", SHOW + code]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == [0o077, [0, 0], 0, 1]
