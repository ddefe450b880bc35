"""What a worker does with its bot's secrets: they are in its environment, and in nothing that leaves it."""

import contextlib
import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator

import pytest

from flotilla.redaction import hide, redact_text
from worker_bot import own_secrets
from worker_bot.asked_environment import Asked, noting
from worker_bot.output import _Hiding, configure_logging

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GAbCdE." + "x" * 38
VALUE = "correct horse/battery@staple\nsecond line of it"


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    before = dict(os.environ)
    os.environ["SHOP_DB"] = "before"
    yield
    os.environ.clear()
    os.environ.update(before)
    hide(())


class Raw(io.RawIOBase):
    """Keeps what is written, a little at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        with memoryview(data) as view:  # type: ignore[arg-type]
            some = bytes(view[:1000])
        self.kept += some
        return len(some)


@contextlib.contextmanager
def printing() -> Iterator[Raw]:
    """Let this process print as a worker does; yield what comes out."""
    raw = Raw()
    stream = io.TextIOWrapper(_Hiding(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield raw
        stream.flush()


def test_a_secret_is_in_the_environment_and_hidden_with_the_token() -> None:
    own_secrets.take(TOKEN, {"SHOP_DB": VALUE})
    assert os.environ["SHOP_DB"] == VALUE
    for carrier in (VALUE, repr(VALUE), f"x{VALUE}x", TOKEN, "the second line of it is"):
        assert "second line of it" not in redact_text(carrier)
        assert TOKEN not in redact_text(carrier)


def say(*words: str, end: str = "\n") -> None:
    print(*words, end=end)  # noqa: T201 - as bots' code does


def test_what_a_bot_prints_has_no_secret_wherever_a_buffer_ends() -> None:
    own_secrets.take(TOKEN, {"SHOP_DB": VALUE})
    with printing() as printed:
        for padding in range(8180, 8200):
            say("x" * padding, VALUE)
            say("x" * padding, VALUE, end="")
            sys.stdout.write("y" * 50)
            say(f"token={TOKEN}")
        for character in f"one by one {TOKEN}\n":
            sys.stdout.write(character)
    assert b"second line" not in printed.kept
    assert b"correct horse" not in printed.kept
    assert TOKEN.encode() not in printed.kept
    assert printed.kept.count(b"x" * 8180) == 40


def test_bytes_and_large_texts_are_written_whole() -> None:
    own_secrets.take(TOKEN, {"SHOP_DB": VALUE})
    text = "".join(f"{number} ä\n" for number in range(5000))
    with printing() as printed:
        assert sys.stdout.write(text) == len(text)
        assert sys.stdout.buffer.write(b"raw " + VALUE.encode()) == 4 + len(VALUE.encode())
    assert printed.kept == text.encode() + b"raw [redacted]"


def test_what_is_logged_or_raised_has_no_secret() -> None:
    own_secrets.take(TOKEN, {"SHOP_DB": VALUE, "SHORT": "7"})
    with printing() as printed:
        _fail()
    assert b"second line" not in printed.kept
    assert b"correct horse" not in printed.kept
    assert b"ValueError" in printed.kept


def _fail() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging(sys.stderr)
        logging.getLogger("shop").error("cannot use %s, %r, %s", VALUE, {"dsn": VALUE}, TOKEN)
        try:
            int(VALUE)
        except ValueError:
            logging.getLogger("shop").exception("failed with %s", VALUE)
            traceback.print_exc()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    thread = threading.Thread(target=lambda: sys.stderr.write(f"Exception in thread: {VALUE}\n"))
    thread.start()
    thread.join()


def test_reads_of_the_environment_are_noticed_and_answered_as_ever() -> None:
    plain = type(os.environ)
    for read in (
        lambda: os.environ.get("NOT_THERE"),
        lambda: os.getenv("NOT_THERE", "x"),
        lambda: "NOT_THERE" in os.environ,
        lambda: dict(os.environ),
        os.environ.copy,
        lambda: list(os.environ.items()),
    ):
        before, asked = dict(os.environ), Asked()
        with noting(asked):
            assert os.environ["SHOP_DB"] == "before"
            assert asked == Asked({"SHOP_DB"})
            read()
        assert asked.of(["NOT_THERE"]) == {"NOT_THERE"}, read
        assert type(os.environ) is plain
        assert dict(os.environ) == before
    asked = Asked()
    with noting(asked), pytest.raises(KeyError):
        os.environ["NOT_THERE"]
    assert asked.of(["NOT_THERE", "OTHER"]) == {"NOT_THERE"}
    list(os.environ)
    assert not asked.everything


def test_code_that_looked_for_a_secret_before_the_fork_is_told_in_the_bots_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(own_secrets, "BEFORE_THE_FORK", Asked({"SHOP_DB", "PATH"}))
    own_secrets.take(TOKEN, {"OTHER": "x"})
    assert not caplog.records
    own_secrets.take(TOKEN, {"SHOP_DB": VALUE, "OTHER": "x"})
    assert "imported before any bot had SHOP_DB has looked for it" in caplog.text
    assert "flotilla supervisor rollover" in caplog.text
