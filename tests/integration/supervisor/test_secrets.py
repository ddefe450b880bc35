"""What a bot's code finds in its environment: what is listed, and its own secrets, which are nowhere else."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from ulid import ULID

from flotilla.db.diagnosis import SqlDiagnosis
from flotilla.db.rollovers import SqlRollovers
from flotilla.db.secrets import SqlSecrets
from flotilla.domain.bots import Desired
from flotilla.domain.config import BotConfig
from flotilla.domain.environment import is_inherited
from flotilla.domain.rollover_record import FINISHED, Phase, RolloverRequest, RolloverStatus
from flotilla.domain.worker import State
from flotilla.secrets import add_key, keep_newest_key
from tests.stack import Stack, until

VALUE = "correct-horse/battery@staple:2"
LOOKING = """
import json, os, pathlib, subprocess, sys
import hikari

def create_bot():
    with open("/proc/self/environ", "rb") as file:
        started_with = file.read().decode(errors="replace")
    child = subprocess.run([sys.executable, "-c", "import os; print(os.environ.get('SHOP_DB'))"],
                           capture_output=True, text=True).stdout.strip()
    seen = {"environ": dict(os.environ), "started_with": started_with, "child": child}
    place = pathlib.Path.home() / f"saw-{os.getpid()}.json"
    place.with_suffix(".part").write_text(json.dumps(seen))
    place.with_suffix(".part").rename(place)
    return hikari.GatewayBot(os.environ["DISCORD_TOKEN"])
"""
AT_IMPORT = """
import os
import lightbulb

loader = lightbulb.Loader()
DB = os.environ.get("SHOP_DB")
KEY = os.environ["SHOP_KEY"]

@loader.command
class Shop(lightbulb.SlashCommand, name="shop", description="Which database it has."):
    @lightbulb.invoke
    async def invoke(self, ctx):
        await ctx.respond(f"{DB} {KEY} {os.environ.get('SHOP_KEY')}")
"""
TELLING = """
import logging, os, sys, threading
import hikari

def create_bot():
    secret = os.environ["SHOP_DB"]
    print("printed", secret)
    print({"as a dict": secret}, file=sys.stderr)
    sys.stdout.buffer.write(f"as bytes {secret}\\n".encode())
    logging.getLogger("shop").warning("logged %s", secret)
    thread = threading.Thread(target=lambda: 1 / int(secret))
    thread.start()
    thread.join()
    raise ValueError(f"no such shop: {secret}")
"""

BEGETTING = """
import os, subprocess, sys

def create_bot():
    subprocess.run([sys.executable, "-c", "import os; print('from a child', os.environ['SHOP_DB'])"])
    os._exit(3)
"""

OPERATORS = {
    name: f"of-the-operator-{name}"
    for name in ("AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "http_proxy", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "SHOP_REGION")
}


@dataclass
class Scene:
    """A folder with code of operators' own, and a home that finds it."""

    stack: Stack
    folder: Path

    def write(self, name: str, source: str) -> None:
        (self.folder / f"{name}.py").write_text(source)

    async def put(self, bot_id: str, name: str, value: str) -> None:
        encrypted = self.stack.vault.encrypt(value)
        await SqlSecrets(self.stack.database).put(bot_id, name, encrypted, "ann", datetime.now(UTC))

    async def saw(self, pid: int | None) -> dict[str, Any]:
        """Return what the code of the worker with this pid has seen."""

        def text() -> str:
            return next((path.read_text() for path in self.stack.home.rglob(f"saw-{pid}.json")), "")

        return dict(json.loads(await until(text, f"worker {pid} has written what it saw")))

    async def use(self, name: str, command: str) -> str:
        items = (await self.stack.sandbox("GET", "/applications"))["items"]
        own = next(item["id"] for item in items if item["name"] == name)
        told = await self.stack.sandbox("POST", f"/applications/{own}/interactions", command=command)
        return str(told["response"]["data"]["content"])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    folder = tmp_path / "code"
    folder.mkdir()
    stack = await Stack.create(
        tmp_path / "h",
        poll_interval_s="0.1",
        stop_grace_s="3",
        max_failures="1",
        preload_timeout_s="20",
        extensions_path=str(folder),
    )
    try:
        await stack.start_sandbox()
        yield Scene(stack, folder)
    finally:
        await stack.close()


async def test_code_sees_what_is_listed_and_its_own_secrets_which_a_warm_restart_brings(scene: Scene) -> None:
    stack = scene.stack
    scene.write("looking", LOOKING)
    shop = await stack.add_bot("shop", config=BotConfig(app="looking:create_bot"))
    other = await stack.add_bot("other", config=BotConfig(app="looking:create_bot"))
    await scene.put(shop, "SHOP_DB", VALUE)
    await scene.put(shop, "TOKEN", "a token of somebody else")
    supervisor = await stack.start_supervisor(
        **OPERATORS,
        FLOTILLA_BOT_ENVIRONMENT="SHOP_REGION",
        FLOTILLA_LOG_LEVEL="DEBUG",
        FLOTILLA_REDIS_URL="redis://:hunter2@127.0.0.1:1/0",
    )
    before = await stack.all_ready(2)
    saw, others = await scene.saw(before[shop].pid), await scene.saw(before[other].pid)
    assert (saw["environ"]["SHOP_DB"], saw["environ"]["TOKEN"]) == (VALUE, "a token of somebody else")
    assert saw["child"] == VALUE
    assert "SHOP_DB" not in others["environ"]
    assert others["child"] == "None"
    assert others["environ"]["SHOP_REGION"] == "of-the-operator-SHOP_REGION"
    places = {"TOKEN", "BOT_TOKEN", "DISCORD_TOKEN", "DISCORD_BOT_TOKEN"}
    for seen in (saw, others):
        unlisted = {name for name in seen["environ"] if not is_inherited(name)}
        assert unlisted - places - {"SHOP_DB"} == {"SHOP_REGION"}
        assert "hunter2" not in str(seen)
    for text in (saw["started_with"], others["started_with"]):
        assert VALUE not in text
        assert "AWS_SECRET_ACCESS_KEY" not in text
    servers = [child for child in psutil.Process(supervisor.pid).children() if "fork server" in str(child.cmdline())]
    for server in servers:
        started_with = server.environ()
        assert not [
            name for name in started_with if not is_inherited(name) and name not in {"SHOP_REGION", "LD_BIND_NOW"}
        ]
    assert len(servers) == 1
    for process in psutil.Process(supervisor.pid).children(recursive=True):
        assert VALUE not in " ".join(process.cmdline())
    # A change waits for the next start, which goes on with the session.
    await scene.put(shop, "SHOP_DB", "another-" + VALUE)
    await scene.put(shop, "SHOP_KEY", VALUE[::-1])
    await stack.bots.restart(other)
    await stack.observed(other, lambda s: s.ready and s.generation == 2, "the other one is back")
    assert (await stack.status(shop)).pid == before[shop].pid
    await stack.bots.restart(shop)
    after = await stack.observed(shop, lambda s: s.ready and s.generation == 2, "it is back")
    environ = (await scene.saw(after.pid))["environ"]
    assert (environ["SHOP_DB"], environ["SHOP_KEY"]) == ("another-" + VALUE, VALUE[::-1])
    for item in (await stack.sandbox("GET", "/applications"))["items"]:
        assert item["identifies"] == 1, item
    for path in scene.stack.home.rglob("*"):
        if path.is_file() and not path.name.startswith("saw-"):  # what the bot itself has written
            assert VALUE.encode() not in path.read_bytes(), path.name


async def test_a_secret_is_in_nothing_that_leaves_the_worker(scene: Scene) -> None:
    stack = scene.stack
    scene.write("telling", TELLING)
    bot_id = await stack.add_bot("shop", config=BotConfig(app="telling:create_bot"))
    await scene.put(bot_id, "SHOP_DB", VALUE)
    supervisor = await stack.start_supervisor(FLOTILLA_LOG_LEVEL="DEBUG")
    await stack.observed(bot_id, lambda s: s.state is State.FATAL, "its code has failed")

    async def ended() -> Any:
        return (await SqlDiagnosis(stack.database).exits(bot_id, 5, None)).items

    for end in await until(ended, "its end is stored"):
        assert VALUE not in end.tail
        assert "no such shop: [redacted]" in end.tail
    log = (stack.settings.log_dir / "bots" / "shop.log").read_text()
    for line in ("printed [redacted]", "'as a dict': '[redacted]'", "as bytes [redacted]", "logged [redacted]"):
        assert line in log, log
    assert VALUE not in log
    assert VALUE not in supervisor.text()
    assert "no such shop: [redacted]" in supervisor.text()


async def test_what_a_program_prints_that_the_bot_starts_is_shown_without_secrets(scene: Scene) -> None:
    scene.write("begetting", BEGETTING)
    bot_id = await scene.stack.add_bot("shop", config=BotConfig(app="begetting:create_bot"))
    await scene.put(bot_id, "SHOP_DB", VALUE)
    await scene.stack.start_supervisor()

    async def ended() -> Any:
        return (await SqlDiagnosis(scene.stack.database).exits(bot_id, 5, None)).items

    for end in await until(ended, "its end is stored"):
        assert "from a child [redacted]" in end.tail
        assert VALUE not in end.tail


async def test_an_extension_that_reads_a_secret_when_it_is_imported_has_it_and_rolls_over(scene: Scene) -> None:
    stack = scene.stack
    scene.write("shopping", AT_IMPORT)
    ids = {name: await stack.add_bot(name, config=BotConfig(extensions=("shopping",))) for name in ("one", "two")}
    for name, bot_id in ids.items():
        await scene.put(bot_id, "SHOP_DB", f"db-of-{name}")
        await scene.put(bot_id, "SHOP_KEY", f"key-of-{name}")
    lacking = await stack.add_bot("lacking", config=BotConfig(extensions=("shopping",)))
    await stack.start_supervisor(FLOTILLA_ROLLOVER_WATCH_S="0.2")
    await stack.observed(lacking, lambda s: s.state is State.FATAL, "the one that has none has failed")
    log = (stack.settings.log_dir / "bots" / "lacking.log").read_text()
    assert "environment variable SHOP_KEY, which is not set" in log
    assert "flotilla bots secrets NAME set SHOP_KEY" in log
    await stack.all_ready(2)
    for name in ids:
        assert await scene.use(name, "shop") == f"db-of-{name} key-of-{name} key-of-{name}"
    store = SqlRollovers(stack.database)
    asked = RolloverRequest(str(ULID()), "a test", datetime.now(UTC))
    await store.request(asked)

    async def end() -> RolloverStatus | None:
        status = (await store.get(asked.id)).status
        return status if status.phase in FINISHED else None

    ended: RolloverStatus = await until(end, "the roll-over has ended")
    assert (ended.phase, ended.moved) == (Phase.DONE, 2), ended
    for name in ids:
        assert await scene.use(name, "shop") == f"db-of-{name} key-of-{name} key-of-{name}"


async def test_a_secret_of_a_lost_key_gives_that_bot_up_with_the_reason(scene: Scene) -> None:
    stack = scene.stack
    bot_id, fine = await stack.add_bot("shop"), await stack.add_bot("fine")
    token = (await stack.bots.tokens_encrypted())[bot_id]
    await scene.put(bot_id, "SHOP_DB", VALUE)
    plain, other = stack.vault.decrypt(token), stack.vault.decrypt((await stack.bots.tokens_encrypted())[fine])
    add_key(stack.settings.key_file)
    keep_newest_key(stack.settings.key_file)
    renewed = {bot_id: stack.vault.encrypt(plain), fine: stack.vault.encrypt(other)}
    await stack.bots.replace_tokens_encrypted(renewed)
    supervisor = await stack.start_supervisor()
    status = await stack.observed(bot_id, lambda s: s.state is State.FATAL, "it is given up")
    assert status.reason == "secret_unreadable"
    assert "The secret SHOP_DB was encrypted with a key that is not in the key file" in supervisor.text()
    await stack.observed(fine, lambda s: s.ready, "the other one runs")
    await scene.put(bot_id, "SHOP_DB", VALUE)
    await stack.bots.want(bot_id, Desired.RUNNING)
    await stack.observed(bot_id, lambda s: s.ready, "it runs with its secret set anew")
