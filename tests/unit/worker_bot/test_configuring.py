"""A new config in a bot that runs: what holds at once, what takes a new process, and what the bot's code refuses."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from flotilla.domain.config import BotConfig, Cache, Doing, Presence, Status
from flotilla.protocol import Configured, Reconfigure, WorkerConfig, WorkerLimits
from tests.stack import until
from worker_bot import authoring
from worker_bot.configuring import Configuring
from worker_bot.presence import shown


class Case:
    """A bot that runs with the default config."""

    def __init__(self) -> None:
        self.shown: list[Presence] = []
        self.answers: list[Configured] = []
        config = WorkerConfig("", ("core",), "INFO", WorkerLimits())
        self.configuring = Configuring(config, self.show, self.answers.append)
        authoring.install(lambda: self.configuring.bot, None)

    async def show(self, presence: Presence) -> None:
        self.shown.append(presence)

    async def take(self, bot: BotConfig, version: int = 1, extensions: tuple[str, ...] = ("core",)) -> Configured:
        before = len(self.answers)
        self.configuring.take(Reconfigure(bot, version, extensions))
        await until(lambda: len(self.answers) > before, "it is answered", 5)
        return self.answers[-1]


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    case.configuring.up()
    yield case
    authoring.install(None, None)
    authoring._listeners.clear()


async def test_presence_and_settings_hold_at_once(case: Case) -> None:
    heard: list[dict[str, Any]] = []
    authoring.on_settings("shop", heard.append)
    config = BotConfig(presence=Presence(activity="chess"), settings={"shop": {"rows": 3}})
    assert await case.take(config) == Configured(1, "live")
    assert (case.shown, heard, authoring.settings("shop")) == ([config.presence], [{"rows": 3}], {"rows": 3})
    assert await case.take(BotConfig(presence=config.presence, settings=config.settings, locale="id"), 2)
    assert (case.configuring.version, len(case.shown), len(heard)) == (2, 1, 1)


@pytest.mark.parametrize("bot", [BotConfig(cache=Cache.NONE), BotConfig(intents=()), BotConfig(app="shop:make")])
async def test_what_takes_a_new_process_changes_nothing(case: Case, bot: BotConfig) -> None:
    assert await case.take(bot) == Configured(1, "restart")
    assert (case.configuring.version, case.configuring.bot) == (0, BotConfig())


async def test_other_extensions_take_a_new_process(case: Case) -> None:
    assert (await case.take(BotConfig(), 1, ("core", "shop"))).outcome == "restart"


async def test_settings_that_the_code_refuses_are_put_back(case: Case) -> None:
    heard: list[dict[str, Any]] = []

    async def listen(settings: dict[str, Any]) -> None:
        heard.append(settings)
        if settings.get("rows") == 0:
            raise ValueError("rows must be at least 1")

    authoring.on_settings("stock", listen)
    await case.take(BotConfig(settings={"stock": {"rows": 3}}))
    wrong = BotConfig(settings={"worker_bot.extensions.stock": {"rows": 0}}, presence=Presence(Status.IDLE))
    answer = await case.take(wrong, 2)
    assert (answer.outcome, "rows must be at least 1" in answer.detail) == ("failed", True)
    assert heard == [{"rows": 3}, {"rows": 0}, {"rows": 3}]
    assert case.shown[-1] == Presence()
    assert (case.configuring.version, authoring.settings("stock")) == (1, {"rows": 3})


async def test_before_the_bot_is_up_only_the_newest_waits() -> None:
    case = Case()
    for version in (1, 2):
        case.configuring.take(Reconfigure(BotConfig(locale="id"), version, ("core",)))
    await asyncio.sleep(0)
    assert case.answers == []
    case.configuring.up()
    await until(lambda: case.answers, "it is answered", 5)
    assert case.answers == [Configured(2, "live")]
    authoring.install(None, None)


@pytest.mark.parametrize("doing", Doing)
@pytest.mark.parametrize("status", Status)
def test_every_presence_has_hikaris_words(doing: Doing, status: Status) -> None:
    found = shown(Presence(status, doing, "chess"))
    assert "chess" in {found["activity"].name, found["activity"].state}
    assert found["status"].value == ("offline" if status is Status.INVISIBLE else status.value)
    assert shown(Presence())["activity"] is None
