import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.db.schema import upgrade
from flotilla.domain.bots import Bot, Desired
from flotilla.errors import SetupError
from flotilla.home import ProgramLock, prepare_home
from flotilla.launch import probes
from flotilla.launch.admin_key import ensure_admin_key, read_key
from flotilla.launch.layout import Mode
from flotilla.launch.mode import claim_mode, read_mode, require_mode
from flotilla.launch.ports import sandbox_port
from flotilla.launch.start import compose_environment, console_target, prepare
from flotilla.settings import Settings, load_settings


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FLOTILLA_HTTP_PORT", str(free_port()))
    made = load_settings()
    prepare_home(made)
    return made


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


async def with_database(settings: Settings, work: Any) -> Any:
    database = Database(settings.effective_database_url)
    try:
        await upgrade(database)
        return await work(database)
    finally:
        await database.close()


def a_bot(name: str, *tags: str) -> Bot:
    return Bot(name.zfill(26), name, "123456789012345678", tags, Desired.RUNNING, 0, datetime.now(UTC))


# What stops a start --------------------------------------------------------------------------------------------------


def test_a_taken_port_is_told_with_who_has_it(
    cli: Any, taken_port: int, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("FLOTILLA_HTTP_PORT", str(taken_port))
    result = cli("up", "--demo")
    assert result.code == 78
    assert result.err.startswith(f"flotilla: Port {taken_port} is taken by process {os.getpid()} (")
    assert result.err.count("\n") == 1


def test_an_address_that_is_not_ours_is_a_sentence(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HTTP_HOST", "192.0.2.1")
    result = cli("up")
    assert (result.code, "Mend FLOTILLA_HTTP_HOST" in result.err) == (78, True)


def test_a_home_that_cannot_be_written_is_a_sentence(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HOME", "/dev/null/home")  # a short path: a long one is refused for its length
    result = cli("up")
    assert (result.code, "Cannot write to" in result.err) == (78, True)


def test_a_missing_supervisord_is_told_with_what_makes_it(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flotilla.launch.probes.SUPERVISORD", tmp_path / "none")
    result = cli("up")
    assert (result.code, "make setup" in result.err) == (78, True)


def test_a_program_that_no_supervisord_started_is_told(cli: Any, settings: Settings) -> None:
    lock = ProgramLock(settings, "jobs")
    lock.acquire()
    result = cli("up")
    lock.release()
    assert result.code == 78
    assert f"jobs ({os.getpid()}). Stop them with `flotilla down`" in result.err


def test_a_redis_that_does_not_answer_is_told_with_exit_code_69(
    cli: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_REDIS_URL", "redis://:hunter2@127.0.0.1:9/0")
    result = cli("up")
    assert result.code == 69
    assert "Redis does not answer" in result.err
    assert "hunter2" not in result.err


def test_a_redis_url_that_is_none_is_a_wrong_setting(
    cli: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_REDIS_URL", "http://127.0.0.1:9/0")
    result = cli("up")
    assert (result.code, "is not a Redis URL" in result.err) == (78, True)


def test_a_database_that_is_away_stops_the_start_with_69(
    cli: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:9/d")
    assert cli("up").code == 69


def test_a_newer_database_stops_the_start(cli: Any, settings: Settings) -> None:
    async def age(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    asyncio.run(with_database(settings, age))
    result = cli("up")
    assert (result.code, "newer Flotilla" in result.err) == (78, True)


def test_a_home_of_the_other_mode_is_refused_with_a_way_out(cli: Any, settings: Settings) -> None:
    prepare(settings, Mode.DEMO)
    result = cli("up")
    assert result.code == 78
    assert "holds a demo fleet" in result.err
    assert f"FLOTILLA_HOME={settings.home}-real make up" in result.err


# What a start prepares -----------------------------------------------------------------------------------------------


def test_a_prepared_demo_has_a_database_a_key_and_a_sandbox_port(settings: Settings) -> None:
    environment = prepare(settings, Mode.DEMO)
    key_file = settings.home / "demo.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    port = (settings.run_dir / "sandbox.port").read_text().strip()
    assert environment["FLOTILLA_DISCORD_URL"] == f"http://127.0.0.1:{port}/api/v10"
    assert environment["FLOTILLA_START_VALKEY"] == environment["FLOTILLA_START_SANDBOX"] == "true"
    assert environment["FLOTILLA_HOME"] == str(settings.home)
    first = key_file.read_text()
    assert prepare(settings, Mode.DEMO)["FLOTILLA_SANDBOX_PORT"] == port
    assert key_file.read_text() == first


def test_a_prepared_real_home_keeps_discord_and_starts_no_sandbox(settings: Settings) -> None:
    environment = prepare(settings, Mode.REAL)
    assert "FLOTILLA_DISCORD_URL" not in environment
    assert environment["FLOTILLA_START_SANDBOX"] == "false"
    assert (settings.home / "admin.key").exists()
    assert read_mode(settings) is Mode.REAL


def test_supervisords_double_expansion_of_log_names_is_escaped(home: Path) -> None:
    settings = Settings(home=Path("/x/100%s"))
    environment = compose_environment(
        settings, {"PATH": "/bin", "FLOTILLA_API_KEY": "k", "FLOTILLA_URL": "u", "LANG": "C"}, "/v/valkey", 7, "/y%"
    )
    assert environment["FLOTILLA_LOGS"] == "/x/100%%s/logs"
    assert environment["FLOTILLA_CONSOLE"] == "/y%%"
    assert environment["FLOTILLA_HOME"] == "/x/100%s"
    assert environment["PATH"].endswith(":/v:/bin")
    assert "FLOTILLA_API_KEY" not in environment
    assert "FLOTILLA_URL" not in environment
    assert environment["LANG"] == "C"


def test_an_external_redis_means_no_valkey() -> None:
    environment = compose_environment(Settings(home=Path("/x")), {}, None, None, "/y")
    assert environment["FLOTILLA_START_VALKEY"] == "false"
    assert environment["FLOTILLA_SANDBOX_PORT"] == "0"


def test_the_greeting_goes_to_a_log_when_the_terminal_cannot_be_opened_by_name(settings: Settings) -> None:
    log = str(settings.log_dir / "welcome.log")
    left, right = socket.socketpair()
    with left, right:
        assert console_target(left.fileno(), settings) == log
    assert console_target(987654, settings) == log
    reading, writing = os.pipe()
    assert console_target(writing, settings) == f"/dev/fd/{writing}"
    os.close(reading)
    os.close(writing)


# Keys, modes, ports --------------------------------------------------------------------------------------------------


async def test_a_key_the_database_does_not_know_is_replaced(settings: Settings) -> None:
    path = settings.home / "admin.key"
    path.write_text("flt_of_another_database")
    path.chmod(0o644)
    (settings.home / "admin.key.new").write_text("left by a crash")
    await with_database(settings, lambda database: ensure_admin_key(database, path))
    key = read_key(path) or ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = await with_database(settings, lambda database: SqlApiKeys(database).find(key, datetime.now(UTC)))
    assert found.role is Role.ADMIN


async def test_a_key_of_a_lesser_role_is_replaced(settings: Settings) -> None:
    path = settings.home / "admin.key"
    path.write_text(await with_database(settings, lambda database: SqlApiKeys(database).create("v", Role.VIEWER)))
    before = path.read_text()
    await with_database(settings, lambda database: ensure_admin_key(database, path))
    assert path.read_text() != before


async def test_a_key_that_cannot_be_written_is_a_sentence(settings: Settings) -> None:
    path = settings.home / "none" / "admin.key"
    with pytest.raises(SetupError, match="Cannot write the admin key"):
        await with_database(settings, lambda database: ensure_admin_key(database, path))


async def test_a_demo_refuses_a_database_with_bots_it_did_not_make(settings: Settings) -> None:
    async def claim(database: Database) -> None:
        await SqlBots(database).add(a_bot("alpha"), b"x")
        await claim_mode(settings, Mode.DEMO, database)

    with pytest.raises(SetupError, match="holds 1 bots already"):
        await with_database(settings, claim)
    assert read_mode(settings) is None


async def test_a_real_home_refuses_a_database_with_demo_bots(settings: Settings) -> None:
    async def claim(database: Database) -> None:
        await SqlBots(database).add(a_bot("demo-1", "demo"), b"x")
        await claim_mode(settings, Mode.REAL, database)

    with pytest.raises(SetupError, match="made by a demo"):
        await with_database(settings, claim)


async def test_a_claimed_home_takes_new_bots_and_another_database_is_looked_at_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claim_add_claim(database: Database) -> None:
        await claim_mode(settings, Mode.DEMO, database)
        await SqlBots(database).add(a_bot("alpha"), b"x")
        await claim_mode(settings, Mode.DEMO, database)

    await with_database(settings, claim_add_claim)
    monkeypatch.setenv("FLOTILLA_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    other = load_settings()

    async def add_claim(database: Database) -> None:
        await SqlBots(database).add(a_bot("beta"), b"x")
        await claim_mode(other, Mode.DEMO, database)

    with pytest.raises(SetupError, match="a demo would send their tokens"):
        await with_database(other, add_claim)


def test_an_unknown_mode_in_the_marker_is_no_mode(settings: Settings) -> None:
    (settings.home / "mode").write_text("purple\n")
    assert read_mode(settings) is None
    require_mode(settings, Mode.DEMO)


@pytest.mark.parametrize("remembered", [None, "nonsense", "99999999", ""])
def test_a_sandbox_port_is_found_whatever_was_remembered(settings: Settings, remembered: str | None) -> None:
    if remembered is not None:
        (settings.run_dir / "sandbox.port").write_text(remembered)
    port = sandbox_port(settings)
    assert sandbox_port(settings) == port


def test_a_sandbox_port_that_is_taken_is_given_up(settings: Settings, taken_port: int) -> None:
    (settings.run_dir / "sandbox.port").write_text(str(taken_port))
    assert sandbox_port(settings) != taken_port


def test_a_port_whose_owner_is_hidden_is_taken_all_the_same(
    settings: Settings, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_kind: str) -> list[Any]:
        raise psutil.AccessDenied

    monkeypatch.setattr("psutil.net_connections", denied)
    with pytest.raises(SetupError, match=f"Port {taken_port} is taken. "):
        probes.port_free(settings.model_copy(update={"http_port": taken_port}))
