import re
from pathlib import Path

import pytest

from flotilla.errors import SetupError
from flotilla.settings import Settings, load_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"FLOTILLA_{field.upper()}", raising=False)


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_each_setting_is_documented(field: str) -> None:
    row = re.search(rf"^\| `FLOTILLA_{field.upper()}` \| (.+?) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert row, f"FLOTILLA_{field.upper()} has no row in docs/settings.md"
    declared = Settings.model_fields[field]
    assert row[2] == declared.description
    if isinstance(declared.default, int | float | str):
        assert row[1] == f"`{declared.default}`"


def test_the_document_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"^\| `FLOTILLA_([A-Z0-9_]+)`", DOCUMENT.read_text(), re.MULTILINE))
    assert named == {field.upper() for field in Settings.model_fields}


def test_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.home == tmp_path / "var"
    assert settings.effective_database_url == f"sqlite:///{tmp_path}/var/flotilla.db"
    assert settings.effective_redis_url == f"unix://{tmp_path}/var/run/valkey.sock"
    assert settings.effective_url == "http://127.0.0.1:8800"


def test_all_faults_are_told_together_and_no_value_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HTTP_PORT", "ninety")
    monkeypatch.setenv("FLOTILLA_DEMO_BOTS", "0")
    monkeypatch.setenv("FLOTILLA_URL", "ftp://secret")
    with pytest.raises(SetupError) as caught:
        load_settings()
    for name in ("FLOTILLA_HTTP_PORT", "FLOTILLA_DEMO_BOTS", "FLOTILLA_URL"):
        assert name in caught.value.message
    assert "secret" not in caught.value.message
    assert "ninety" not in caught.value.message


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("FLOTILLA_MEMORY_LIMT_MB", "perhaps FLOTILLA_MEMORY_LIMIT_MB is meant"),
        ("flotilla_http_prt", "perhaps FLOTILLA_HTTP_PORT is meant"),
        ("FLOTILLA_QQQ", "see docs/settings.md"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, told: str) -> None:
    monkeypatch.setenv(variable, "hidden")
    with pytest.raises(SetupError, match=f"{variable}: there is no such setting; {told}") as caught:
        load_settings()
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLOTILLA_SERVICE_HOST", "10.0.0.1"),
        ("FLOTILLA_SERVICE_PORT_HTTP", "8800"),
        ("FLOTILLA_PORT", "tcp://10.0.0.1:8800"),
        ("FLOTILLA_API_PORT_8800_TCP_ADDR", "10.0.0.1"),
        ("FLOTILLA_LOGS", "/logs"),
        ("FLOTILLA", "x"),
        ("FLOTILLAS_X", "x"),
    ],
)
def test_what_kubernetes_and_the_launcher_set_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    load_settings()


def test_a_home_too_deep_for_a_socket_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HOME", "/tmp/" + "d" * 100)
    with pytest.raises(SetupError, match="too long"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("MEMORY_LIMIT_MB", "63"), ("BOT_OPEN_FILES", "10"), ("BOT_UID_BASE", "0"), ("MEMORY_KERNEL_LIMIT", "maybe")],
)
def test_a_limit_below_what_a_worker_needs_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FLOTILLA_{name}", value)
    with pytest.raises(SetupError, match=f"FLOTILLA_{name}: Input should be") as caught:
        load_settings()
    assert caught.value.code == "settings_invalid"


def test_hosts_are_names_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HTTP_HOSTS", "Fleet.Example, box,")
    assert load_settings().http_hosts == ("fleet.example", "box")
    for wrong in ("http://fleet.example", "fleet.example:8800", "*"):
        monkeypatch.setenv("FLOTILLA_HTTP_HOSTS", wrong)
        with pytest.raises(SetupError, match="FLOTILLA_HTTP_HOSTS: Value error, must be names of hosts"):
            load_settings()


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HTTP_PORT", "")
    assert load_settings().http_port == 8800


def test_secrets_are_masked_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("FLOTILLA_REDIS_URL", "redis://:hunter2@h")
    monkeypatch.setenv("FLOTILLA_API_KEY", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert "hunter2" in settings.effective_database_url
    assert "hunter2" in settings.effective_redis_url


def test_policy_carries_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_MEMORY_LIMIT_MB", "100")
    monkeypatch.setenv("FLOTILLA_URL", "https://fleet.example/")
    settings = load_settings()
    assert settings.policy.memory_limit_bytes == 100 * 1024 * 1024
    assert settings.effective_url == "https://fleet.example"
    assert settings.control_socket.parent.parent == settings.run_dir


@pytest.mark.parametrize("url", ["http://[::1", "http://", "http://h:port", "http://h:99999", "http://h:0"])
def test_a_url_that_leads_nowhere_is_told_without_its_text(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_URL", url)
    with pytest.raises(SetupError, match="FLOTILLA_URL: Value error, must name a host"):
        load_settings()
