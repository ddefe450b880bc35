"""What the fork server says of modules that it could not import."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worker_bot.warmup import MAX_FAULT_CHARS, preload

Write = Callable[[str, str], str]


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
    name = write("flotilla_test_fine", "X = 1\n")
    assert preload((name, "json"), (str(tmp_path),)) == ""
    assert sys.modules[name].X == 1
    assert not (tmp_path / "__pycache__").exists()
    assert preload((), (str(tmp_path),)) == ""
    assert sys.path.count(str(tmp_path)) == 1


def test_a_folder_is_searched_after_what_is_installed(write: Write, tmp_path: Path) -> None:
    write("msgspec", "raise RuntimeError\n")
    import msgspec  # noqa: PLC0415 - what is installed

    assert preload(("msgspec",), (str(tmp_path),)) == ""
    assert Path(str(msgspec.__file__)).parent != tmp_path


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("raise ValueError('boom')\n", "ValueError: boom"),
        ("import sys\nsys.exit('bye')\n", "SystemExit: bye"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
)
def test_what_fails_is_told_with_its_traceback_and_the_rest_is_imported(
    write: Write, tmp_path: Path, source: str, words: str
) -> None:
    broken, fine = write("flotilla_test_broken", source), write("flotilla_test_after", "X = 2\n")
    fault = preload((broken, fine), (str(tmp_path),))
    assert fault.startswith("flotilla_test_broken could not be imported:\nTraceback")
    assert words in fault
    assert sys.modules[fine].X == 2


def test_a_module_that_starts_a_thread_is_told(write: Write, tmp_path: Path) -> None:
    source = "import threading\nE = threading.Event()\nT = threading.Thread(target=E.wait)\nT.start()\n"
    name = write("flotilla_test_thread", source)
    fault = preload((name,), (str(tmp_path),))
    sys.modules[name].E.set()
    sys.modules[name].T.join()
    assert "starts a thread when it is imported" in fault


def test_a_folder_that_is_not_there_is_told(write: Write, tmp_path: Path) -> None:
    fault = preload((), (str(tmp_path / "none"),))
    assert f"FLOTILLA_EXTENSIONS_PATH names {tmp_path / 'none'}" in fault


def test_a_long_story_is_cut_in_the_middle(write: Write, tmp_path: Path) -> None:
    name = write("flotilla_test_long", f"raise ValueError('{'x' * MAX_FAULT_CHARS} the end')\n")
    fault = preload((name,), (str(tmp_path),))
    assert len(fault) < MAX_FAULT_CHARS + 10
    assert fault.startswith(name)
    assert fault.rstrip().endswith("the end")
