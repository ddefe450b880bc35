import asyncio
import base64
import random
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.db.schema import upgrade
from flotilla.db.secrets import SqlSecrets
from flotilla.db.tables import webhooks
from flotilla.db.webhooks import SqlWebhooks
from flotilla.domain.bots import Bot, Desired
from flotilla.domain.webhooks import Webhook
from flotilla.errors import SetupError
from flotilla.home import ProgramLock, prepare_home
from flotilla.launch.rotation import rotate_keys
from flotilla.secrets import TokenVault, add_key
from flotilla.settings import Settings, load_settings


def token(number: int) -> str:
    return base64.urlsafe_b64encode(str(10**17 + number).encode()).decode() + ".GAbCdE." + "x" * 38


@pytest.fixture
def settings(home: Path) -> Settings:
    made = load_settings()
    prepare_home(made)
    return made


def run(settings: Settings, work: Any) -> Any:
    async def inner() -> Any:
        database = Database(settings.effective_database_url)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(inner())


def with_bots(settings: Settings, count: int) -> None:
    vault = TokenVault(settings.key_file)

    async def fill(database: Database) -> None:
        await upgrade(database)
        for number in range(count):
            bot = Bot(f"{number:026}", f"bot-{number}", str(10**17 + number), (), Desired.STOPPED, 0, datetime.now(UTC))
            await SqlBots(database).add(bot, vault.encrypt(token(number)))

    run(settings, fill)


def readable(settings: Settings) -> list[str]:
    vault = TokenVault(settings.key_file)
    stored = run(settings, lambda database: SqlBots(database).tokens_encrypted())
    return [vault.decrypt(value) for _, value in sorted(stored.items())]


def keys(settings: Settings) -> list[str]:
    return settings.key_file.read_text().split()


def test_db_upgrade_makes_the_database_and_can_be_repeated(cli: Any, home: Path) -> None:
    for _ in range(2):
        assert cli("db", "upgrade").out == "The database has the shape of this release.\n"
    assert (home / "flotilla.db").exists()


def test_a_database_of_a_newer_release_is_refused(cli: Any, settings: Settings) -> None:
    cli("db", "upgrade")

    async def age(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    run(settings, age)
    for command in (["db", "upgrade"], ["api-keys", "ls"], ["secrets", "rotate"]):
        result = cli(*command)
        assert result.code == 78
        assert "newer Flotilla" in result.err


def test_a_database_that_was_never_made_is_a_sentence(cli: Any) -> None:
    result = cli("api-keys", "ls")
    assert (result.code, "flotilla db upgrade" in result.err) == (78, True)


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("postgresql://u:hunter2@127.0.0.1:9/d", 69, "does not answer"),
        ("mysql://u:hunter2@h/d", 78, "speaks sqlite and postgresql"),
        ("hunter2", 78, "not a database URL"),
    ],
)
def test_a_database_that_is_away_or_none_is_a_sentence(
    cli: Any, monkeypatch: pytest.MonkeyPatch, url: str, code: int, sentence: str
) -> None:
    monkeypatch.setenv("FLOTILLA_DATABASE_URL", url)
    result = cli("db", "upgrade")
    assert result.code == code
    assert sentence in result.err
    assert "hunter2" not in result.err


def test_an_api_key_is_made_listed_and_revoked(cli: Any, settings: Settings) -> None:
    cli("db", "upgrade")
    key = cli("api-keys", "create", "grafana", "--role", "viewer").out.strip()
    found = run(settings, lambda database: SqlApiKeys(database).find(key, datetime.now(UTC)))
    assert (found.name, found.role, found.expires_at) == ("grafana", Role.VIEWER, None)
    line = cli("api-keys", "ls").out.splitlines()[1].split()
    assert line == [found.id, "grafana", "viewer", "never"]
    assert cli("api-keys", "revoke", found.id).out == f"Revoked {found.id}.\n"
    assert run(settings, lambda database: SqlApiKeys(database).find(key, datetime.now(UTC))) is None
    assert "no live key" in cli("api-keys", "revoke", found.id).err


def test_an_api_key_can_expire(cli: Any, settings: Settings) -> None:
    cli("db", "upgrade")
    key = cli("api-keys", "create", "guest", "--role", "operator", "--days", "2").out.strip()
    now = datetime.now(UTC)
    assert run(settings, lambda database: SqlApiKeys(database).find(key, now + timedelta(days=1))) is not None
    assert run(settings, lambda database: SqlApiKeys(database).find(key, now + timedelta(days=3))) is None
    past = now - timedelta(days=1)
    run(settings, lambda database: SqlApiKeys(database).create("old", Role.VIEWER, past))
    assert "(expired)" in cli("api-keys", "ls").out


@pytest.mark.parametrize(
    "arguments", [["x", "--role", "king"], ["", "--role", "admin"], ["n" * 65, "--role", "admin"], ["x"]]
)
def test_wrong_api_key_options_are_usage_errors(cli: Any, arguments: list[str]) -> None:
    assert cli("api-keys", "create", *arguments).code == 2


def test_rotation_encrypts_every_token_anew_and_drops_the_old_key(cli: Any, settings: Settings) -> None:
    with_bots(settings, 3)
    before = keys(settings)
    assert cli("secrets", "rotate").out == "Encrypted 3 tokens with a new key. The old keys are dropped.\n"
    assert len(keys(settings)) == 1
    assert keys(settings) != before
    assert readable(settings) == [token(number) for number in range(3)]


def test_rotation_takes_the_secrets_of_webhooks_along(cli: Any, settings: Settings) -> None:
    with_bots(settings, 1)
    webhook = Webhook("w".zfill(26), "https://example.org", datetime.now(UTC))
    encrypted = TokenVault(settings.key_file).encrypt("whsec_secret")
    run(settings, lambda database: SqlWebhooks(database).add(webhook, encrypted))
    assert "Encrypted 2 tokens" in cli("secrets", "rotate").out

    async def stored(database: Database) -> bytes:
        async with database.read() as connection:
            return bytes((await connection.execute(sa.select(webhooks.c.secret_encrypted))).scalar_one())

    assert TokenVault(settings.key_file).decrypt(run(settings, stored)) == "whsec_secret"


def test_rotation_takes_the_secrets_of_bots_along_and_names_one_that_cannot_be_read(
    cli: Any, settings: Settings
) -> None:
    with_bots(settings, 1)
    bot_id, vault, now = f"{0:026}", TokenVault(settings.key_file), datetime.now(UTC)

    def put(name: str, value: bytes) -> None:
        run(settings, lambda database: SqlSecrets(database).put(bot_id, name, value, "ann", now))

    put("SHOP_DB", vault.encrypt("hunter2"))
    put("OTHER", vault.encrypt("hunter3"))
    assert "Encrypted 3 tokens" in cli("secrets", "rotate").out
    stored = run(settings, lambda database: SqlFleetStore(database).credentials([bot_id]))[bot_id].secrets
    renewed = TokenVault(settings.key_file)
    assert {name: renewed.decrypt(value) for name, value in stored.items()} == {
        "SHOP_DB": "hunter2",
        "OTHER": "hunter3",
    }
    put("OTHER", b"gAAAAAspoilt")
    result = cli("secrets", "rotate")
    assert result.code == 78
    assert f"those of secret OTHER of bot {bot_id} cannot be read" in result.err
    assert len(keys(settings)) == 2


def test_rotation_while_the_api_runs_waits_for_what_it_is_storing(
    cli: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_bots(settings, 1)
    monkeypatch.setattr("flotilla.db.engine.BUSY_TIMEOUT_S", -1.9)
    lock = ProgramLock(settings, "api")
    lock.acquire()
    assert "The API runs; waiting" in cli("secrets", "rotate").out
    lock.release()


def test_a_token_stored_with_the_old_key_during_a_rotation_is_not_lost(settings: Settings) -> None:
    with_bots(settings, 1)
    late = TokenVault(settings.key_file).encrypt(token(1))
    bot = Bot("1".zfill(26), "bot-1", str(10**17 + 1), (), Desired.STOPPED, 0, datetime.now(UTC))
    began = len(keys(settings))

    def store_when_rotation_has_begun() -> None:
        while len(keys(settings)) == began:
            pass
        run(settings, lambda database: SqlBots(database).add(bot, late))

    writer = threading.Thread(target=store_when_rotation_has_begun)
    writer.start()
    assert run(settings, lambda database: rotate_keys(settings.key_file, database, grace_s=1.0)) == 2
    writer.join()
    assert readable(settings) == [token(0), token(1)]


def test_a_token_that_no_key_opens_keeps_every_key(cli: Any, settings: Settings) -> None:
    with_bots(settings, 2)

    async def spoil(database: Database) -> None:
        await SqlBots(database).replace_tokens_encrypted({f"{1:026}": b"gAAAAAspoilt"})

    run(settings, spoil)
    result = cli("secrets", "rotate")
    assert result.code == 78
    assert "1 tokens were encrypted anew, but those of bot-1 cannot be read" in result.err
    assert len(keys(settings)) == 2


def test_two_rotations_at_once_are_refused(settings: Settings) -> None:
    with_bots(settings, 1)

    async def both(database: Database) -> list[Any]:
        return await asyncio.gather(
            *(rotate_keys(settings.key_file, database, grace_s=0.2) for _ in range(2)), return_exceptions=True
        )

    outcomes = run(settings, both)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SetupError", "int"]
    assert any(isinstance(outcome, SetupError) and outcome.code == "rotation_running" for outcome in outcomes)


def test_a_rotation_that_was_interrupted_is_finished_by_the_next(cli: Any, settings: Settings) -> None:
    with_bots(settings, 2)
    add_key(settings.key_file)
    assert cli("secrets", "rotate").code == 0
    assert len(keys(settings)) == 1
    assert len(readable(settings)) == 2


def test_a_rotation_killed_at_any_moment_loses_no_token(settings: Settings) -> None:
    seed = random.randrange(2**32)
    with_bots(settings, 100)
    expected = [token(number) for number in range(100)]
    draw = random.Random(seed)
    code = (
        "import sys\nfrom flotilla.cli import main\nimport flotilla.launch.rotation\nprint('ready', flush=True)\nmain()"
    )
    for _ in range(5):
        command = [sys.executable, "-c", code, "secrets", "rotate"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(draw.uniform(0.0, 0.25))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        assert readable(settings) == expected, f"seed {seed}"


def test_an_interrupt_while_the_command_line_is_imported_prints_no_traceback() -> None:
    code = """
import sys, time
class Slow:
    def find_spec(self, name, *_more):
        if name == "flotilla.cli":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
from flotilla.__main__ import main
main()
"""
    command = [sys.executable, "-c", code, "doctor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (-signal.SIGINT, b"")
