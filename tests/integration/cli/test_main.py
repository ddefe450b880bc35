import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flotilla.cli import exit_code_of
from flotilla.cli.faults import CommandError
from flotilla.errors import RetryError, SetupError
from flotilla.release import release_on_disk


def test_version_is_printed(cli: Any) -> None:
    result = cli("--version")
    assert (result.code, result.out) == (0, f"flotilla {release_on_disk()}\n")


def test_help_lists_the_commands_and_hides_what_is_not_for_people(cli: Any) -> None:
    out = cli("--help").out
    for command in ("up", "down", "bots", "ops", "status", "doctor", "api-keys", "secrets", "db", "sandbox"):
        assert f" {command} " in out
    assert "welcome" not in out


def test_wrong_usage_ends_with_2(cli: Any) -> None:
    assert cli("fly").code == 2
    assert cli("bots", "start").code == 2


def test_an_interrupt_ends_with_130(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flotilla.settings.load_settings", interrupt)
    assert cli("down").code == 130


def test_what_nobody_expected_is_a_sentence_and_its_details_are_kept_without_secrets(
    cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "logs").mkdir(parents=True)

    def fail() -> None:
        raise RuntimeError("broken with flt_" + "s" * 43)

    monkeypatch.setattr("flotilla.settings.load_settings", fail)
    result = cli("down")
    log = home / "logs" / "cli.log"
    assert result.code == 1
    assert result.err == (
        f"flotilla: This should not have happened: RuntimeError. The details are in {log}; please report them.\n"
    )
    assert "RuntimeError: broken with [redacted]" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_without_a_home_the_details_go_to_the_temporary_folder(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError

    monkeypatch.setattr("flotilla.settings.load_settings", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert f"{tmp_path}/flotilla-cli-" in cli("down").err
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert "could not be written anywhere" in cli("down").err


def test_each_kind_of_fault_has_its_exit_code() -> None:
    assert [exit_code_of(fault("x")) for fault in (SetupError, RetryError, CommandError)] == [78, 69, 1]


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "flotilla", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # What makes a command line slow is imported by the commands that need it, and only by them.
    for heavy in ("sqlalchemy", "alembic", "httpx", "pydantic", "redis", "cryptography", "psutil", "hikari"):
        assert f"| {heavy}\n" not in done.stderr.replace(" ", "").replace("|", "| "), heavy
