import base64
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from cryptography.fernet import Fernet

from flotilla.log import configure_logging
from flotilla.redaction import REDACTED, redact_text

TOKEN = base64.urlsafe_b64encode(b"123456789012345678").decode() + ".GAbCdE." + "x-_Z" * 9 + "ab"
LONG_TOKEN = base64.urlsafe_b64encode(b"12345678901234567890").decode().rstrip("=") + ".ZzZzZz." + "Q" * 38
API_KEY = "flt_" + "k" * 43
FERNET_KEY = base64.urlsafe_b64encode(bytes(range(200, 232))).decode()
FERNET_TOKEN = Fernet(FERNET_KEY).encrypt_at_time(b"a token", 1_790_000_000).decode()
SECRETS = [TOKEN, LONG_TOKEN, API_KEY, FERNET_KEY, FERNET_TOKEN]


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logged(*, as_json: bool = True) -> io.StringIO:
    stream = io.StringIO()
    configure_logging("test", "DEBUG", json=as_json, stream=stream)
    return stream


class Confused:
    """Something whose text holds a secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Confused({self.secret})"


@pytest.mark.parametrize("secret", SECRETS, ids=["token", "long token", "api key", "fernet key", "fernet token"])
@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_reaches_a_line_whatever_carries_it(secret: str, as_json: bool) -> None:
    stream = logged(as_json=as_json)
    log = structlog.get_logger()
    carriers: list[Any] = [
        secret,
        f"Bot {secret}",
        f"https://api/x?key={secret}&y=1",
        f"redis://user:{secret}@host/0",
        secret.encode(),
        [secret, {"deep": (secret, {secret})}],
        {"a": {"b": [f"x{{{secret}}}"]}},
        {secret: "as a key"},
        Confused(secret),
        Exception(secret),
        f"line one\n{secret}\nline three",
        json.dumps({"token": secret}),
    ]
    for carrier in carriers:
        log.info("attack", value=carrier)
    action = f"attack with {secret} in the action"
    log.warning(action)
    log.info("attack", token=secret, authorization=f"Bearer {secret}", password=b"x", nested={"api_key": secret})
    logging.getLogger("library").error("failed for %s", secret, extra={"headers": {"Authorization": secret}})
    assert secret not in stream.getvalue()
    assert REDACTED in stream.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_reaches_a_line_in_a_traceback(as_json: bool) -> None:
    stream = logged(as_json=as_json)

    def fail() -> None:
        raise ValueError(f"cannot use {TOKEN}") from KeyError(f"postgresql://u:hunter2@h/{API_KEY}")

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed in a library")
    text = stream.getvalue()
    assert "ValueError" in text
    assert TOKEN not in text
    assert API_KEY not in text
    assert "hunter2" not in text


def test_a_field_that_names_a_secret_is_redacted_whatever_it_looks_like() -> None:
    stream = logged()
    structlog.get_logger().info("x", client_secret="plain", nested=[{"Password": "plain"}], token_count=3)
    line = json.loads(stream.getvalue())
    assert "plain" not in stream.getvalue()
    assert line["token_count"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://flotilla:{}@db:5432/fleet",
        "see redis://:{}@cache and more",
        "rediss://user:{}@cache/0?x=1",
    ],
)
def test_a_password_in_a_url_is_redacted_and_the_rest_stays(text: str) -> None:
    shown = redact_text(text.format("hunter2"))
    assert shown == text.format(REDACTED)


@pytest.mark.parametrize(
    "harmless",
    [
        "01M83NW7Z0WKRFR7D0W0JF06WX",
        "123456789012345678",
        "flotilla.db.engine",
        "https://discord.com/api/v10/gateway",
        "2026-11-23T07:45:39.254866Z",
        "sha256:0bcb763fddafba410f35cbde226aa7f8514b9fb82eb05a0c85f6588d1c13f8db",
    ],
)
def test_what_is_no_secret_stays_readable(harmless: str) -> None:
    assert redact_text(harmless) == harmless


def test_a_line_names_its_action_program_level_and_time() -> None:
    stream = logged()
    structlog.get_logger().info("bot.started", bot="alpha", generation=3, ratio=0.5, ready=True, reason=None)
    line = json.loads(stream.getvalue())
    assert line["action"] == "bot.started"
    assert (line["program"], line["level"], line["bot"]) == ("test", "info", "alpha")
    assert (line["generation"], line["ratio"], line["ready"], line["reason"]) == (3, 0.5, True, None)
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    configure_logging("test", "WARNING", json=True, stream=stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    assert not stream.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_stranger_wrote_does_not_steer_the_terminal_of_who_reads_the_log(*, as_json: bool) -> None:
    stream = logged(as_json=as_json)
    hostile = "\x1b[2J\x9b1m\u202e\x07\r\nfaked: line"
    structlog.get_logger().warning("worker.said", error=hostile, parts=[hostile], by={hostile: hostile})
    logging.getLogger("a.library").warning("said %s", hostile.replace("\r\n", " "))
    try:
        raise ValueError(hostile)  # noqa: TRY301 - the traceback is what is tried
    except ValueError:
        structlog.get_logger().exception("worker.failed")
    text = stream.getvalue()
    assert not {"\x1b", "\x9b", "\u202e", "\x07", "\r"} & set(text)
    assert text.count("\nfaked: line") == (0 if as_json else 1), "a traceback has lines"
