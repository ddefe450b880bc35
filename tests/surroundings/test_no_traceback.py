"""The surroundings of a command are odd.

Whatever they are like, no command of the command line ends with a traceback, nor with the line for what nobody
expected: each ends as a sentence and an exit code. Every command is run in each of them.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flotilla.address import listen
from flotilla.home import prepare_home
from flotilla.settings import Settings

RUNNER = Path(__file__).with_name("each_command.py")
ROOT = Path(__file__).resolve().parents[2]
STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What an argument may hold, and no terminal should get."""
UNEXPECTED = ("This should not have happened", "Traceback", "Exception ignored")
PATIENCE_S = 400.0
pytestmark = pytest.mark.timeout(500)


@dataclass
class Place:
    """Where commands are run. prefix: what becomes the runner. shell: what a shell does to its streams."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    shell: str = ""
    word: str = "x"
    number: str = "1"
    folder: Path = ROOT

    def run(self, *only: str) -> list[dict[str, str]]:
        """Run every command, or only these; return those that ended as none should."""
        reading, writing = os.pipe()
        command = [*self.prefix, sys.executable, str(RUNNER), str(writing), self.word, self.number, *only]
        with subprocess.Popen(
            ["sh", "-c", f'exec "$@" {self.shell}', "sh", *command],
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("FLOTILLA_")},
                "PYTHONPATH": str(ROOT),
                "FLOTILLA_HOME": str(self.home),
                "FLOTILLA_HTTP_PORT": "9",
                "FLOTILLA_DISCORD_URL": "http://127.0.0.1:9",
                "FLOTILLA_API_KEY": "flt_" + "t" * 43,
                **self.environment,
            },
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                text = pipe.read()
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace")
            process.wait(PATIENCE_S)
        assert text, f"the runner itself ended: {said}"
        found = json.loads(text)
        assert not found["fault"], found["fault"]
        assert len(found["commands"]) == len(only) or (not only and len(found["commands"]) > 40)
        return [
            row
            for row in found["commands"]
            if any(words in row["said"] for words in UNEXPECTED)
            or row["code"] not in {0, 1, 2, 69, 78}
            or STEERS.search(row["said"])
        ]


def unexpected(place: Place, *only: str) -> str:
    bad = place.run(*only)
    kept = place.home / "logs" / "cli.log"
    log = kept.read_text()[-3000:] if kept.is_file() else ""
    return "\n".join(f"{row['command']!r} → {row['code']}: {row['said'][-1500:]}" for row in bad) + log


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="flt-"))
    yield folder / "h"
    shutil.rmtree(folder, ignore_errors=True)


def _used(home: Path) -> Settings:
    settings = Settings(home=home)
    prepare_home(settings)
    return settings


def _plain(_home: Path, place: Place) -> None:
    """Nothing is odd, but that nothing runs."""


def _out_closed(_home: Path, place: Place) -> None:
    place.shell = ">&-"


def _all_closed(_home: Path, place: Place) -> None:
    place.shell = "<&- >&- 2>&-"


def _reader_gone(_home: Path, place: Place) -> None:
    place.shell = "| true"


def _full(_home: Path, place: Place) -> None:
    place.shell = ">/dev/full"


def _ascii(_home: Path, place: Place) -> None:
    place.environment = {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C", "PYTHONUTF8": "0"}
    place.environment["PYTHONCOERCECLOCALE"] = "0"
    place.word = "größe-🚢"


def _narrow(_home: Path, place: Place) -> None:
    place.environment = {"COLUMNS": "1", "LINES": "1", "TERM": "nonsense"}


def _bytes(_home: Path, place: Place) -> None:
    place.word = b"\xff\xfe\x1b[2J\r\n\t".decode(errors="surrogateescape")
    place.number = "9" * 40


def _long(_home: Path, place: Place) -> None:
    place.word, place.number = "🚢" * 20_000, "-1"


def _home_is_a_file(home: Path, _place: Place) -> None:
    home.write_text("")


def _keys_are_garbage(home: Path, _place: Place) -> None:
    _used(home).key_file.write_bytes(b"\xff\x00 not a key \xfe")


def _keys_are_a_folder(home: Path, _place: Place) -> None:
    settings = _used(home)
    settings.key_file.unlink()
    settings.key_file.mkdir()


def _database_is_garbage(home: Path, _place: Place) -> None:
    (_used(home).home / "flotilla.db").write_bytes(b"no database at all" * 500)


def _database_is_a_folder(home: Path, _place: Place) -> None:
    (_used(home).home / "flotilla.db").mkdir()


def _files_are_garbage(home: Path, _place: Place) -> None:
    settings = _used(home)
    for name in (
        "mode",
        "admin.key",
        "demo.key",
        "uids.json",
        "run/sandbox.port",
        "run/supervisor.pid",
        "run/jobs.pid",
    ):
        (settings.home / name).write_bytes(b"\xff\xfe\x00{[")


def _folders_are_files(home: Path, _place: Place) -> None:
    home.mkdir()
    for name in ("run", "logs"):
        (home / name).write_text("")


def _settings_wrong(_home: Path, place: Place) -> None:
    place.environment = {"FLOTILLA_DEMO_BOTS": "x", "FLOTILLA_HTTP_PORT": "0", "FLOTILLA_DISCORD_URL": "gopher://"}


def _urls_wrong(_home: Path, place: Place) -> None:
    place.environment = {
        "FLOTILLA_URL": "http://[::1",
        "FLOTILLA_REDIS_URL": "redis://:x@h:port",
        "FLOTILLA_DATABASE_URL": "postgresql://u:p@h:port/d?what=ever",
    }


def _certificates_gone(_home: Path, place: Place) -> None:
    gone = {"SSL_CERT_FILE": "/no/such.pem", "SSL_CERT_DIR": "/no/such", "REQUESTS_CA_BUNDLE": "/no/such.pem"}
    place.environment = gone | {"FLOTILLA_URL": "https://127.0.0.1:9", "FLOTILLA_DISCORD_URL": "https://127.0.0.1:9"}


def _nobody(_home: Path, place: Place) -> None:
    """A user id that has no name, no HOME, no USER."""
    place.prefix = ("env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME")
    if os.getuid() == 0:
        place.prefix += (*AS_NOBODY, "--ambient-caps", "+dac_read_search")


AS_NOBODY = ("setpriv", "--reuid", "54321", "--clear-groups", "--inh-caps", "+dac_read_search")


def _not_ours(home: Path, place: Place) -> None:
    """A home of another user, of which we may do nothing."""
    _used(home)
    os.chown(home, 54320, 54320)
    place.prefix = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner")


def _proc_without_files(_home: Path, place: Place) -> None:
    """/proc shows processes alone (subset=pid)."""
    place.prefix = ("unshare", "-m", "sh", "-c", 'mount -t proc -o subset=pid proc /proc && exec "$@"', "sh")


def _nothing_writable(_home: Path, place: Place) -> None:
    """All that is mounted is read-only: the root, the home, and the temporary folders."""
    place.prefix = ("unshare", "-m", "sh", "-c", f'{READ_ONLY} && exec "$@"', "sh")


def _only_home_writable(home: Path, place: Place) -> None:
    """A container whose root is read-only, with a volume for the home and no temporary folder."""
    home.mkdir()
    mounted = f"mount -t tmpfs none {home} && {READ_ONLY}"
    place.prefix = ("unshare", "-m", "sh", "-c", f'{mounted} && exec "$@"', "sh")


READ_ONLY = "mount --bind / / && mount -o remount,bind,ro / && mount -t tmpfs -o ro none /dev/shm && cd /"

EVERYWHERE: dict[str, Callable[[Path, Place], None]] = {
    "nothing runs": _plain,
    "stdout is closed": _out_closed,
    "all streams are closed": _all_closed,
    "the reader is gone": _reader_gone,
    "stdout is full": _full,
    "the terminal knows ASCII alone": _ascii,
    "the terminal has one column": _narrow,
    "arguments are no text": _bytes,
    "arguments are huge": _long,
    "the home is a file": _home_is_a_file,
    "the keys are garbage": _keys_are_garbage,
    "the keys are a folder": _keys_are_a_folder,
    "the database is garbage": _database_is_garbage,
    "the database is a folder": _database_is_a_folder,
    "small files are garbage": _files_are_garbage,
    "folders are files": _folders_are_files,
    "settings are wrong": _settings_wrong,
    "URLs are wrong": _urls_wrong,
    "certificates are gone": _certificates_gone,
    "the user has no name": _nobody,
}
BY_ROOT = {
    "the home is another user's": _not_ours,
    "/proc shows processes alone": _proc_without_files,
    "nothing is writable": _nothing_writable,
    "only the home is writable": _only_home_writable,
}
OFTEN = ["stdout is closed", "the terminal knows ASCII alone", "arguments are no text"]
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make these surroundings")


@pytest.mark.parametrize("name", OFTEN)
def test_the_commonest_commands_end_without_a_traceback(name: str, home: Path) -> None:
    place = Place(home)
    EVERYWHERE[name](home, place)
    assert not unexpected(place, "status", "bots show", "api-keys create", "doctor")


@pytest.mark.nightly
@pytest.mark.parametrize("make", EVERYWHERE.values(), ids=EVERYWHERE)
def test_no_command_ends_with_a_traceback(make: Callable[[Path, Place], None], home: Path) -> None:
    place = Place(home)
    make(home, place)
    assert not unexpected(place)


@pytest.mark.nightly
@only_root
@pytest.mark.parametrize("make", BY_ROOT.values(), ids=BY_ROOT)
def test_no_command_ends_with_a_traceback_where_something_is_forbidden(
    make: Callable[[Path, Place], None], home: Path
) -> None:
    place = Place(home)
    make(home, place)
    assert not unexpected(place)


JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "


def _json(body: bytes) -> bytes:
    return JSON + str(len(body)).encode() + b"\r\n\r\n" + body


STRANGERS = {
    "a page": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>Welcome</html>",
    "an empty 502": b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "garbage": b"\xff\xfe\x00\r\n\r\n" * 9,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half an answer": JSON + b'999\r\n\r\n{"items": [',
    "nothing": b"",
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "a packed page": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\nno gzip",
    "other JSON": _json(b'{"hello": "world"}'),
    "a list": _json(b"[]"),
    "empty objects": _json(b'{"items": [{}], "next_cursor": null}'),
    "items that are none": _json(b'{"items": null}'),
    "items that are no objects": _json(b'{"items": [1]}'),
    "a problem that is none": b"HTTP/1.1 500 No\r\ncontent-length: 9\r\nconnection: close\r\n\r\n[1, 2, 3]",
}


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Give everybody the same answer, whatever was asked; yield the port."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(65536)
                    connection.sendall(answer)
                except OSError:
                    continue

    with listen("127.0.0.1", 0) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        thread.join()


@pytest.mark.nightly
@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
def test_no_command_ends_with_a_traceback_when_somebody_else_answers(answer: bytes, home: Path) -> None:
    with answering(answer) as port:
        place = Place(home, {"FLOTILLA_URL": f"http://127.0.0.1:{port}"})
        assert not unexpected(place)


@pytest.mark.nightly
def test_no_command_ends_with_a_traceback_when_the_api_hangs(home: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        place = Place(home, {"FLOTILLA_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"})
        assert not unexpected(place)


@pytest.mark.nightly
def test_no_command_ends_with_a_traceback_in_a_folder_that_is_gone(home: Path) -> None:
    gone = home.parent / "gone"
    gone.mkdir()
    place = Place(home, {"FLOTILLA_HOME": "relative"})
    place.prefix = ("sh", "-c", f'cd {gone} && rmdir {gone} && exec "$@"', "sh")
    assert not unexpected(place)
