import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.bot_secrets import MAX_SECRETS, MAX_VALUE_BYTES, checked_name, checked_value
from flotilla.domain.environment import INHERITED
from flotilla.errors import FixInputError
from flotilla.protocol import MAX_FRAME_BYTES, FrameDecoder, Welcome, WorkerConfig, WorkerLimits, encode, to_worker


@pytest.mark.parametrize("name", ["A", "_", "SHOP_DB_URL", "TOKEN", "HTTPS_PROXY", "A" * 64, "_2", "LDAP_PASSWORD"])
def test_names_of_variables_are_names_of_secrets(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "a", "2A", "A-B", "A=B", "A B", "A\n", "É", "A" * 65, "hunter2-hunter2"),
        *("FLOTILLA_HOME", "SUPERVISOR_ENABLED", "LD_PRELOAD", "LD_BIND_NOW", "PYTHONPATH", "PYTHONSTARTUP", "PATH"),
        *("HOME", "SSL_CERT_FILE", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "LC_ALL", "LANG", "COVERAGE_RCFILE"),
    ],
)
def test_other_names_are_refused_and_never_repeated(name: str) -> None:
    with pytest.raises(FixInputError) as raised:
        checked_name(name)
    assert raised.value.code == "secret_name_invalid"
    assert len(name) < 3 or name not in raised.value.message


def test_no_variable_that_processes_inherit_can_be_a_secret() -> None:
    for name in INHERITED:
        with pytest.raises(FixInputError):
            checked_name(name)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=1000))
def test_any_text_is_a_value(value: str) -> None:
    assert checked_value(value) == value


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "x" * (MAX_VALUE_BYTES + 1), "é" * (MAX_VALUE_BYTES // 2 + 1)])
def test_what_no_environment_can_hold_is_refused_and_never_repeated(value: str) -> None:
    with pytest.raises(FixInputError) as raised:
        checked_value(value)
    assert raised.value.code == "secret_value_invalid"
    assert len(value) < 3 or value not in raised.value.message


def test_as_many_as_there_may_be_fit_into_one_welcome() -> None:
    full = {f"{'S' * 62}{number:02}": "x" * MAX_VALUE_BYTES for number in range(MAX_SECRETS)}
    frame = encode(Welcome("token", WorkerConfig("", (), "INFO", WorkerLimits()), secrets=full))
    assert len(frame) < MAX_FRAME_BYTES / 4
    (body,) = FrameDecoder().feed(frame)
    welcome = to_worker.decode(body)
    assert isinstance(welcome, Welcome)
    assert welcome.secrets == full
    assert "xxxx" not in repr(welcome)
