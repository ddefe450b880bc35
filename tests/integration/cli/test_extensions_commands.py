"""`flotilla extensions check`, with the real processes."""

import json
from pathlib import Path
from typing import Any

import pytest

FINE = """
import lightbulb
print("x" * 100_000)
loader = lightbulb.Loader()

@loader.command
class Buy(lightbulb.SlashCommand, name="buy", description="Buy it."):
    @lightbulb.invoke
    async def invoke(self, ctx): ...
"""
HANGS = "import subprocess\nsubprocess.Popen(['sleep', '600'])\nwhile True:\n    print('x' * 1000)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "code"
    made.mkdir()
    for name, source in {"fine": FINE, "hangs": HANGS, "ends": "import os\nos._exit(4)\n"}.items():
        (made / f"check_{name}.py").write_text(source)
    monkeypatch.setenv("FLOTILLA_EXTENSIONS_PATH", str(made))
    return made


def test_what_works_is_told_with_its_commands(cli: Any, folder: Path) -> None:
    done = cli("extensions", "check", "check_fine")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        "check_fine works.\nIt registers:\n  /buy                       Buy it.\nIt printed:\n  xxx"
    )
    assert len(done.out) < 1000


def test_code_that_hangs_or_ends_the_process_is_told_as_json(cli: Any, folder: Path) -> None:
    done = cli("extensions", "check", "check_hangs", "check_ends", "--timeout", "1.5", "--path", str(folder), "--json")
    assert done.code == 1
    hangs, ends = json.loads(done.out)
    assert hangs["problem"] == "It was not up within 1.5 s; the stack shows where it was."
    assert 'check_hangs.py", line 4' in hangs["traceback"]
    assert len(hangs["printed"]) <= 16 * 1024
    assert (ends["problem"], ends["ok"]) == ("It ended the process (exit code 4).", False)


def test_what_is_no_name_of_code_is_wrong_usage(cli: Any) -> None:
    done = cli("extensions", "check", "../shop.py")
    assert done.code == 2
    assert "package.module" in done.err
