"""Whatever bots, Discord and the API say, no command lets it steer the terminal.

Each command is run on a terminal of its own, against programs whose every string is hostile: an API that answers what
its own description allows, and a sandbox behind somebody who changes what it says.
"""

import asyncio
import contextlib
import fcntl
import io
import os
import re
import struct
import sys
import termios
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import typer

from flotilla.cli import main
from flotilla.cli.app import app
from flotilla.db.engine import Database
from flotilla.db.keys import Role, SqlApiKeys
from flotilla.db.schema import upgrade
from flotilla.db.tables import api_keys
from flotilla.home import prepare_home
from flotilla.settings import Settings
from tests.integration.api.conftest import made_api
from tests.integration.cli.conftest import KEY, serve
from tests.integration.cli.sandbox_bot import Bot, running_sandbox
from tests.services import wait_until
from tests.surroundings.each_command import given, leaves

Json = dict[str, Any]
OF_THIS_HOST = {
    *("up", "down", "sweep", "welcome", "upgrade", "supervisor restart", "doctor"),
    *("secrets rotate", "db upgrade", "extensions check", "logs"),
}
"""They start, end or look at what is here, and print it the same way. Logs have a test of their own."""
BLOCKS = {"supervisor rollovers", "bots stacks x"}
"""They show tracebacks, which have lines and tabs."""
LINES = {repr("\n"), repr("\t")}
UNEXPECTED = "This should not have happened"
END = "<end>"
MARK = "hos" + "tile"
HOSTILE = (
    f"{MARK}\x1b[2J\x1b]0;title\x07\x9b31m\x1b[31mred\x08\x08\rover\x0b\x0c\x00\x7f\x85"
    "\u202eleft\u2066\u200b\ufeff\u2028\ud800\nfaked: line\t[red]markup[/red]"
)
OURS = re.compile(r"\x1b\[[0-9;]*m|\r\x1b\[2K|\r\n")
"""Colours, the line that is rewritten, and how a terminal ends a line."""
WAITED_FOR = ["succeeded", "done", "delivered"]


def steering(said: str) -> set[str]:
    """Return the characters of what came to a terminal that steer it, or are not seen, and are not ours."""
    left = OURS.sub("", said)
    return {repr(char) for char in left if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}


def a_sample(schema: Json, schemas: Json, name: str = "") -> Any:
    """Return what a schema allows, with hostile strings wherever it allows any."""
    if "$ref" in schema:
        return a_sample(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if "anyOf" in schema:
        return a_sample(next(kind for kind in schema["anyOf"] if kind.get("type") != "null"), schemas, name)
    if "enum" in schema:
        return next((value for value in WAITED_FOR if value in schema["enum"]), HOSTILE)
    kind = schema.get("type", "string")
    if kind == "object":
        made = {key: a_sample(each, schemas, key) for key, each in schema.get("properties", {}).items()}
        if isinstance(schema.get("additionalProperties"), dict):
            made[HOSTILE] = a_sample(schema["additionalProperties"], schemas)
        return made
    if kind == "array":
        return [a_sample(schema.get("items", {}), schemas, name)] * 2
    if kind == "string":
        return _a_string(name)
    return {"integer": 1, "number": 1.5, "boolean": False}[kind]


def _a_string(name: str) -> str | None:
    if name == "id":
        return "one"
    if name == "next_cursor":
        return None
    return "2026-01-02T03:04:05Z" if name.endswith("_at") or name in {"at", "since"} else HOSTILE


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What the API says of itself."""
    folder = tmp_path_factory.mktemp("api")

    async def told() -> Json:
        database = Database(f"sqlite:///{folder / 'flotilla.db'}")
        await upgrade(database)
        response = await (await made_api(database, folder)).call("GET", "/api/v1/openapi.json")
        await database.close()
        found: Json = await response.get_json()
        return found

    return asyncio.run(told())


class Row(NamedTuple):
    """A command, and what became of it."""

    command: str
    code: int
    said: str


OnTerminal = Callable[..., Row]
Answer = Callable[[str, str, dict[str, str], Json], tuple[int, Any]]


def an_api(description: Json, *, refuses: bool) -> Answer:
    """Return an API that answers what its description allows; or refuses all but to say how the programs are."""
    schemas = description["components"]["schemas"]
    routes = {re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)): rules for path, rules in description["paths"].items()}

    def answer(method: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Any]:
        found: Json = next((rules for route, rules in routes.items() if route.fullmatch(path)), {})
        rules = found.get(method.lower())
        if rules is None or (refuses and path != "/readyz"):
            return 409, a_sample({"$ref": "Problem"}, schemas)
        dry = bool(body.get("dry_run")) or query.get("dry_run") == "true"
        status = (min if dry else max)(code for code in rules["responses"] if code.startswith("2"))
        content = rules["responses"][status].get("content")
        if content is None:
            return int(status), None
        schema = content["application/json"]["schema"]
        if "anyOf" in schema and dry:
            schema = schema["anyOf"][-1]
        return int(status), a_sample(schema, schemas)

    return answer


def hostile(value: Any, key: str = "") -> Any:
    """Return an answer of the sandbox with every string hostile that no command looks anything up by."""
    if isinstance(value, dict):
        return {name: hostile(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [hostile(each, key) for each in value]
    if not isinstance(value, str) or value.isdecimal() or key in {"status", "state", "code"}:
        return value
    return value if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value) else value + HOSTILE


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    server = serve(answer)
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnTerminal]:
    """Run `flotilla ARGUMENTS` in this process, with a terminal for what it says; return its exit code and that."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(pieces(master)))
    reader.start()
    rows: list[Row] = []

    def run(*arguments: str) -> Row:
        monkeypatch.setattr(sys, "argv", ["flotilla", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, os.fdopen(os.dup(slave), "w", encoding="utf-8"))
        said.clear()
        code = main()
        for stream in (sys.stdout, sys.stderr):
            stream.close()
        os.write(slave, END.encode())
        wait_until(lambda: END.encode() in b"".join(said), "what was said is read")
        rows.append(Row(" ".join(arguments), code, b"".join(said).decode(errors="surrogateescape").replace(END, "")))
        return rows[-1]

    yield run
    os.close(slave)
    reader.join(30)
    os.close(master)
    assert rows


def pieces(master: int) -> Iterator[bytes]:
    """Yield what comes to a terminal until nobody has it any more."""
    with contextlib.suppress(OSError):  # EIO
        while piece := os.read(master, 65536):
            yield piece


def quick(words: tuple[str, ...], command: Any) -> list[str]:
    """Return a command line that asks for nothing and waits for nothing."""
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return [*words, *given(command, "x", "1"), *(option for option in ("--yes", "--no-wait") if option in options)]


async def a_database(home: Path) -> None:
    """Make a home with a database in which a key has a hostile name."""
    prepare_home(Settings(home=home))
    database = Database(f"sqlite:///{home / 'flotilla.db'}")
    await upgrade(database)
    await SqlApiKeys(database).create("k", Role.VIEWER)
    async with database.write() as connection:
        await connection.execute(api_keys.update().values(name=HOSTILE.replace("\ud800", "")))
    await database.close()


def assert_calm(rows: list[Row]) -> None:
    """No command lets anything through, fails in a way that nobody expected, or lets a line be faked."""
    steered = {row.command: steering(row.said) - (LINES if row.command in BLOCKS else set()) for row in rows}
    assert {command: bad for command, bad in steered.items() if bad} == {}
    assert [row for row in rows if row.code not in {0, 1, 2, 69, 78} or UNEXPECTED in row.said] == []
    faked = {row.command for row in rows if re.search(r"^faked: line", row.said, re.MULTILINE)}
    assert faked <= BLOCKS


@pytest.mark.parametrize("refuses", [False, True], ids=["it answers", "it refuses"])
def test_no_command_lets_the_api_steer_the_terminal(
    description: Json, home: Path, on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch, *, refuses: bool
) -> None:
    asyncio.run(a_database(home))
    with serving(an_api(description, refuses=refuses)) as url:
        monkeypatch.setenv("FLOTILLA_URL", url)
        monkeypatch.setenv("FLOTILLA_API_KEY", KEY)
        lines = [
            quick(words, command)
            for words, command in leaves(typer.main.get_command(app))
            if words[0] != "sandbox" and " ".join(words) not in OF_THIS_HOST
        ]
        rows = [on_terminal(*line) for line in lines]
    assert_calm(rows)
    heard = [row.command for row in rows if MARK in row.said]
    assert len(heard) >= 20, heard


LOOKS = ["apps", "guilds", "faults", "loads", "addresses", "unknown", "limits", "fault --kinds", "apps --json"]
ACTS = [
    "use {} /ping",
    "use {} /panel",
    "use {} /form",
    "use {} /weather",
    "use {} /secret",
    "use {} /rude",
    "app show {}",
]


def test_no_sandbox_steers_the_terminal(on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_sandbox() as (real, key), Bot(real, key, "alpha") as bot, httpx.Client(base_url=real) as client:
        client.headers["authorization"] = f"Bearer {key}"

        def answer(method: str, path: str, _query: dict[str, str], body: Json) -> tuple[int, Any]:
            got = client.request(method, path, json=body or None)
            return got.status_code, hostile(got.json())

        channel = client.get(f"/sandbox/applications/{bot.id}").json()["channel_id"]
        client.post(f"/sandbox/channels/{channel}/messages", json={"content": "hello"})
        fault = {"kind": "deaf", "applications": [bot.id], "after_s": 999}
        client.post("/sandbox/faults", json=fault).raise_for_status()
        client.get("/api/v10/nowhere")
        with serving(answer) as url:
            monkeypatch.setenv("FLOTILLA_DISCORD_URL", f"{url}/api/v10")
            monkeypatch.setenv("FLOTILLA_SANDBOX_KEY", KEY)
            lines = [line.format(bot.id) for line in [*LOOKS, *ACTS, f"read {channel}", "use nobody /x"]]
            rows = [on_terminal("sandbox", *line.split()) for line in lines]
    assert_calm(rows)
    silent = {row.command for row in rows if MARK not in row.said}
    assert silent <= {"sandbox limits", "sandbox loads", "sandbox addresses"}
