"""The dry run of extensions and apps, in this process; what ends or blocks one is tried in tests/integration/cli."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker_bot import clients, listeners, making, seam
from worker_bot.check import Report, check

Write = Callable[[str], str]
COMMAND = """
import lightbulb
loader = lightbulb.Loader()

@loader.command
class Buy(lightbulb.SlashCommand, name="{name}", description="{description}"):
    item = lightbulb.string("item", "What.")

    @lightbulb.invoke
    async def invoke(self, ctx):
        pass
"""
BOT = "import hikari\ndef create_bot({arguments}):\n    bot = hikari.GatewayBot('x')\n    {more}\n    return bot\n"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    level = logging.getLogger().level
    for name in making.TOKEN_NAMES:
        monkeypatch.setenv(name, making.PLACEHOLDER)
    yield
    logging.getLogger().setLevel(level)
    making.forget()
    seam.install(None)
    clients.watch(lambda _: None)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module; return its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(source: str) -> str:
        name = "flotilla_test_checked"
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return make


async def of_bot(write: Write, more: str = "pass", arguments: str = "") -> Report:
    return await check(write(BOT.format(more=more, arguments=arguments)) + ":create_bot")


async def test_an_extension_tells_what_it_registers(write: Write) -> None:
    found = await check(write(COMMAND.format(name="buy", description="Buy.")))
    assert (found.kind, found.problem, found.traceback) == ("extension", None, "")
    shown = {"name": "buy", "type": "slash", "description": "Buy.", "options": ["item"], "guild_id": None}
    assert found.commands == [shown]


async def test_what_discord_would_refuse_is_told_before_it_does(write: Write) -> None:
    source = """
import hikari
def create_bot():
    bot = hikari.GatewayBot("x")
    @bot.listen()
    async def register(_: hikari.StartedEvent):
        await bot.rest.set_application_commands(1, [bot.rest.slash_command_builder("buy", "B" * 101)])
    return bot
"""
    found = await check(write(source) + ":create_bot")
    assert found.problem == "Discord would refuse its commands. /buy: a description has 1 to 100 characters."


async def test_a_command_that_is_registered_nowhere_is_noted(write: Write) -> None:
    source = COMMAND.format(name="buy", description="Buy.").replace("loader.command\n", "loader.command(guilds=[])\n")
    found = await check(write(source))
    assert (found.problem, found.commands) == (None, [])
    assert found.notes[0].startswith("The command buy is registered nowhere")


async def test_a_traceback_begins_in_the_authors_code(write: Write) -> None:
    name = write(COMMAND.format(name="buy", description="B" * 101))
    found = await check(name)
    assert str(found.problem).startswith(f"the extension {name} could not be imported: ValueError")
    assert "worker_bot" not in found.traceback
    assert f"{name}.py" in found.traceback.splitlines()[1]


async def test_an_error_without_a_line_of_the_author_is_told_in_a_sentence(write: Write) -> None:
    found = await check(write("import lightbulb\nloader = lightbulb.Loader()\n@loader.command\nclass Nothing: pass\n"))
    assert "could not be loaded: AttributeError: type object 'Nothing'" in str(found.problem)
    assert found.traceback == ""


async def test_an_error_while_an_extension_is_loaded_is_not_only_logged(write: Write) -> None:
    hook = "async def fails(): raise RuntimeError('no')\nloader = lightbulb.Loader(should_load_hook=fails)\n"
    found = await check(write("import lightbulb\n" + hook))
    assert "could not be loaded" in str(found.problem)
    assert "RuntimeError: no" in found.traceback


async def test_a_plain_bot_is_started_and_its_own_registrations_are_seen(write: Write) -> None:
    source = """
import hikari, os
def create_bot():
    bot = hikari.GatewayBot(os.environ["TOKEN"], logs={"version": 1})
    @bot.listen()
    async def register(_: hikari.StartedEvent):
        me = await bot.rest.fetch_application()
        await bot.rest.create_slash_command(me.id, "ping", "Pong.")
        await bot.rest.set_application_commands(me.id, [bot.rest.context_menu_command_builder(2, "Who")], guild=7)
        await bot.rest.fetch_user(1)
    return bot
"""
    found = await check(write(source) + ":create_bot")
    assert (found.problem, found.kind) == (None, "app")
    assert [(c["name"], c["type"], c["guild_id"]) for c in found.commands] == [
        ("ping", "slash", None),
        ("Who", "user", "7"),
    ]
    assert found.notes == ["It asked for GET /users/1, which a dry run has not."]


async def test_the_function_may_want_the_token(write: Write) -> None:
    found = await of_bot(write, "assert token.count('.') == 2", "token, *, name='x', **more")
    assert found.problem is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("bot = hikari.GatewayBot('y')", "makes a second hikari.GatewayBot"),
        ("bot.run()", "The code calls bot.run()"),
        ("return", "returns nothing, not a bot"),
        ("return hikari", "returns a module, not a bot"),
        ("import asyncio; asyncio.ensure_future(bot.start())", "The code calls bot.start()"),
        ("bot.subscribe(hikari.StartedEvent, lambda _: None)", "Cannot subscribe a non-coroutine function"),
        ("exit()", "ends the process"),
        ("import os; os.environ['NO_SUCH_VARIABLE']", "environment variable NO_SUCH_VARIABLE"),
    ],
)
async def test_what_is_wrong_with_an_app_is_told(write: Write, more: str, words: str) -> None:
    found = await of_bot(write, more)
    assert words in str(found.problem)


async def test_what_a_listener_raises_at_the_start_is_told(write: Write) -> None:
    source = BOT.format(more="bot.subscribe(hikari.StartingEvent, fails)", arguments="")
    found = await check(write(source + "async def fails(_):\n    raise LookupError('shelf')\n") + ":create_bot")
    assert found.problem == "LookupError: shelf"
    assert "in fails" in found.traceback
    assert "hikari/impl" not in found.traceback.splitlines()[1]


@pytest.mark.parametrize("heard", ["ExceptionEvent", "Event"])
async def test_what_a_listener_raises_is_told_though_the_bot_hears_errors_itself(write: Write, heard: str) -> None:
    more = f"bot.subscribe(hikari.StartedEvent, fails); bot.subscribe(hikari.{heard}, hears)"
    source = BOT.format(more=more, arguments="")
    source += "async def fails(_):\n    raise LookupError('shelf')\nasync def hears(_):\n    pass\n"
    found = await check(write(source) + ":create_bot")
    assert found.problem == "LookupError: shelf"
    assert "in fails" in found.traceback


async def test_a_listener_of_the_start_that_runs_on_does_not_hold_the_check(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "LISTENERS_S", 0.1)
    source = BOT.format(more="bot.subscribe(hikari.StartedEvent, runs)", arguments="")
    source += "async def runs(_):\n    import asyncio\n    await asyncio.Event().wait()\n"
    found = await asyncio.wait_for(check(write(source) + ":create_bot"), 30)
    assert found.problem is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flotilla_no_such", "is not there: no module is named flotilla_no_such"),
        ("json:dumps", "wants the arguments obj"),
        ("json:decoder", "is a module"),
        ("math:tau", "is a float"),
        ("math:nothing", "math has no nothing"),
        ("json", "json is no extension: it has no lightbulb.Loader"),
    ],
)
async def test_what_is_no_code_of_a_bot_is_told(name: str, words: str) -> None:
    found = await check(name)
    assert words in str(found.problem)
    assert found.traceback == ""
