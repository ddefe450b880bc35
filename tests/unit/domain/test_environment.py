import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.environment import INHERITED, SETTING, inherited, is_inherited, names_of, of_bots

OTHERS = {
    "FLOTILLA_DATABASE_URL": "postgresql://u:hunter2@h/d",
    "SUPERVISOR_SERVER_URL": "unix:///run/x.sock",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "HTTPS_PROXY": "http://u:hunter2@proxy",
    "https_proxy": "http://u:hunter2@proxy",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "SSH_AUTH_SOCK": "/run/agent",
    "DISCORD_TOKEN": "hunter2",
    "PYTHONSTARTUP": "/x.py",
}
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True)


def test_what_is_meant_for_others_stays_away_and_what_a_program_needs_comes() -> None:
    needed = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "TZ": "UTC", "SSL_CERT_FILE": "/c.pem", "PYTHONPATH": "/p"}
    assert of_bots(needed | OTHERS) == needed


def test_what_the_operator_names_comes_but_never_what_is_ours() -> None:
    environment = OTHERS | {SETTING: "HTTPS_PROXY, SHOP_REGION,"}
    assert of_bots(environment | {"SHOP_REGION": "eu"}) == {"HTTPS_PROXY": OTHERS["HTTPS_PROXY"], "SHOP_REGION": "eu"}
    for text in ("FLOTILLA_DATABASE_URL", "SUPERVISOR_SERVER_URL", "A B", "A=B", "1A", "PATH,é"):
        with pytest.raises(ValueError, match=r"names of environment variables|is not for bots"):
            names_of(text)
        assert of_bots(OTHERS | {SETTING: text}) == {}
    assert inherited(OTHERS, ["FLOTILLA_DATABASE_URL"]) == {}


@given(environment=st.dictionaries(NAMES, st.text()), also=st.lists(NAMES))
def test_nothing_comes_that_is_not_listed(environment: dict[str, str], also: list[str]) -> None:
    found = inherited(environment, also)
    assert all(is_inherited(name) or name in also for name in found)
    assert found.items() <= environment.items()


def test_names_are_kept_in_their_order_once() -> None:
    assert names_of(" B_2,a,B_2 ,, ") == ("B_2", "a")
    assert names_of("") == ()
    assert SETTING not in INHERITED


def test_to_import_it_takes_only_the_standard_library() -> None:
    code = "import sys, supervisor.zygote; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in told if name.startswith("flotilla.")] == ["flotilla.domain", "flotilla.domain.environment"]
    assert {"msgspec", "structlog", "asyncio"}.isdisjoint(told)
