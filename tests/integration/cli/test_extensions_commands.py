"""`flotilla extensions check`, with the real processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from flotilla.redaction import hide

FINE = """
import lightbulb
print("x" * 100_000)
loader = lightbulb.Loader()

@loader.command
class Buy(lightbulb.SlashCommand, name="buy", description="Buy it."):
    @lightbulb.invoke
    async def invoke(self, ctx): ...
"""
NEEDS = """
import os
import lightbulb
print(sorted(name for name in os.environ if name.startswith("SHOP_")), os.environ["SHOP_DB"])
loader = lightbulb.Loader()
"""
HANGS = "import subprocess\nsubprocess.Popen(['sleep', '600'])\nwhile True:\n    print('x' * 1000)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "code"
    made.mkdir()
    for name, source in {"fine": FINE, "needs": NEEDS, "hangs": HANGS, "ends": "import os\nos._exit(4)\n"}.items():
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


def test_code_gets_of_this_shell_what_bots_get_and_what_is_named(
    cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SHOP_DB", "SHOP_REGION", "SHOP_KEY"):
        monkeypatch.setenv(name, f"hunter2-of-{name}")
    monkeypatch.setenv("FLOTILLA_BOT_ENVIRONMENT", "SHOP_REGION")
    lacking = cli("extensions", "check", "check_needs")
    assert lacking.code == 1
    assert "environment variable SHOP_DB, which is not set" in lacking.out
    assert "flotilla bots secrets NAME set SHOP_DB" in lacking.out
    try:
        done = cli("extensions", "check", "check_needs", "--env", "SHOP_DB")
        found = json.loads(cli("extensions", "check", "check_needs", "--env", "SHOP_DB", "--json").out)
    finally:
        hide(())
    assert done.code == 0
    assert "['SHOP_DB', 'SHOP_REGION'] [redacted]" in done.out
    assert found[0]["printed"] == "['SHOP_DB', 'SHOP_REGION'] [redacted]\n"


@pytest.mark.parametrize("given", ["SHOP_DB=hunter2", "NOT_SET_HERE", "FLOTILLA_EXTENSIONS_PATH"])
def test_what_names_no_variable_for_bots_is_wrong_usage(cli: Any, folder: Path, given: str) -> None:
    done = cli("extensions", "check", "check_needs", "--env", given)
    assert done.code == 2
    assert "hunter2" not in done.err
