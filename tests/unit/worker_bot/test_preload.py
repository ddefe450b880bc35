"""What the fork server imports, and what it says of modules that it could not import."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worker_bot.preload import MAX_FAULT_CHARS, preload

Write = Callable[[str, str], str]
FINE = "import lightbulb\nloader = lightbulb.Loader()\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module into a folder that is searched; return its name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def make(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return make


def test_modules_of_the_folder_are_imported_and_leave_no_bytecode(write: Write, tmp_path: Path) -> None:
    name = write("flotilla_test_fine", FINE + "X = 1\n")
    assert preload((name, "worker_bot.extensions.core"), (str(tmp_path),)) == ""
    assert sys.modules[name].X == 1
    assert not (tmp_path / "__pycache__").exists()
    assert preload((), (str(tmp_path),)) == ""
    assert sys.path.count(str(tmp_path)) == 1


def test_a_folder_is_searched_after_what_is_installed(write: Write, tmp_path: Path) -> None:
    write("msgspec", "raise RuntimeError\n")
    import msgspec  # noqa: PLC0415 - what is installed

    preload(("msgspec:convert",), (str(tmp_path),))
    assert Path(str(msgspec.__file__)).parent != tmp_path


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("raise ValueError('boom')\n", "ValueError: boom"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("import sys\nsys.exit('bye')\n", "ends the process when it is imported (exit code bye)"),
        ("import os\nos._exit(7)\n", "ends the process when it is imported (exit code 7)"),
        ("import os\nos.kill(os.getpid(), 9)\n", "ends the process when it is imported (signal 9)"),
        ("X = 1\n", "has no lightbulb.Loader"),
        ("import flotilla_test_loop\n", "cannot import name"),
        (FINE + "import threading as t\nt.Thread(target=t.Event().wait, daemon=True).start()\n", "starts a thread"),
        (FINE + "import os\nos.environ['FLOTILLA_NO_SUCH']\n", "the environment variable FLOTILLA_NO_SUCH"),
        ("while True:\n    pass\n", 'flotilla_test_broken.py", line'),
    ],
)
def test_what_fails_is_told_and_left_out_and_the_rest_is_imported(
    write: Write, tmp_path: Path, source: str, words: str
) -> None:
    write("flotilla_test_loop", "from flotilla_test_broken import X\n")
    broken, fine = write("flotilla_test_broken", source), write("flotilla_test_after", FINE)
    fault = preload((broken, fine), (str(tmp_path),), timeout_s=20)
    assert broken in fault
    assert words in fault
    assert broken not in sys.modules
    assert fine in sys.modules


@pytest.mark.parametrize(
    "source",
    [
        "import hikari\nbot = hikari.GatewayBot('x')\n",
        "import os, hikari\ntry:\n    bot = hikari.GatewayBot(os.environ['TOKEN'])\nexcept Exception:\n    bot = 1\n",
    ],
)
def test_a_module_that_makes_its_bot_is_left_to_the_worker(write: Write, tmp_path: Path, source: str) -> None:
    name = write("flotilla_test_bot", source)
    assert preload((f"{name}:bot",), (str(tmp_path),)) == ""
    assert name not in sys.modules


def test_the_module_of_an_app_is_imported_and_its_function_must_be_there(write: Write, tmp_path: Path) -> None:
    name = write("flotilla_test_app", "def create_bot():\n    raise AssertionError('not before the fork')\n")
    assert preload((f"{name}:create_bot",), (str(tmp_path),)) == ""
    assert name in sys.modules
    fault = preload((f"{name}:other",), (str(tmp_path),))
    assert fault.strip() == (
        "flotilla_test_app has no other. Name the function that returns the bot; there are: create_bot."
    )


def test_what_a_trial_prints_and_leaves_running_harms_nobody(
    write: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "import subprocess\nP = subprocess.Popen(['sleep', '600'])\nprint('x' * 1000000)\nraise ValueError\n"
    fault = preload((write("flotilla_test_loud", source),), (str(tmp_path),))
    assert "ValueError" in fault
    assert len(capfd.readouterr().out) == 1_000_001


def test_a_folder_that_is_not_there_is_told(write: Write, tmp_path: Path) -> None:
    fault = preload((), (str(tmp_path / "none"),))
    assert f"FLOTILLA_EXTENSIONS_PATH names {tmp_path / 'none'}" in fault


def test_a_long_story_is_cut_in_the_middle(write: Write, tmp_path: Path) -> None:
    name = write("flotilla_test_long", f"raise ValueError('{'x' * MAX_FAULT_CHARS} the end')\n")
    fault = preload((name,), (str(tmp_path),))
    assert len(fault) < MAX_FAULT_CHARS + 10
    assert name in fault
    assert fault.rstrip().endswith("the end")


ASKS = {
    "at once": "import os\nX = os.environ['SHOP_DB']\n",
    "softly": "import os\nX = os.getenv('SHOP_DB')\n",
    "for all": "import os\nX = dict(os.environ)\n",
    "and goes on without": "import os\ntry:\n    os.environ['SHOP_DB']\nexcept KeyError:\n    pass\n",
    "through another": "import flotilla_test_settings\n",
}


@pytest.mark.parametrize("how", ASKS)
def test_a_module_that_asks_for_a_secret_is_left_to_its_worker_with_what_it_has_imported(
    write: Write, tmp_path: Path, how: str
) -> None:
    write("flotilla_test_settings", "import os\nX = os.environ.get('SHOP_DB')\n")
    asks, too = (
        write("flotilla_test_asks", FINE + ASKS[how]),
        write("flotilla_test_too", FINE + ASKS["through another"]),
    )
    fine = write("flotilla_test_fine", FINE + "import os\nX = os.environ.get('PATH')\n")
    assert preload((asks, too, fine), (str(tmp_path),), secrets=["SHOP_DB", "OTHER"]) == ""
    assert fine in sys.modules
    assert {asks, too, "flotilla_test_settings"}.isdisjoint(sys.modules)


def test_without_secrets_a_module_may_look_at_the_environment(write: Write, tmp_path: Path) -> None:
    name = write("flotilla_test_looks", FINE + ASKS["for all"])
    assert preload((name,), (str(tmp_path),)) == ""
    assert name in sys.modules
