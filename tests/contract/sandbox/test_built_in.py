"""The built-in commands as users see them: lightbulb, hikari and the sandbox, and the supervisor's own answers."""

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from flotilla.domain.config import BUILT_IN, BotConfig, GuildConfig
from flotilla.domain.policy import Policy
from flotilla.domain.stock import PAGE_ITEMS, StockItem
from flotilla.domain.uptime import Mark
from flotilla.errors import FixInputError
from flotilla.protocol import Ask, ToWorker, WorkerConfig, WorkerLimits
from sandbox.messages.rules import EPHEMERAL
from supervisor.about import About
from supervisor.answers import Answers
from supervisor.chronicle import Chronicle
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.shell import Shell
from supervisor.stock import Stock
from tests.builders import T0, a_bot, none_refused
from tests.contract.sandbox.conftest import Sandbox
from tests.fakes.fleet import MemoryFleetStore
from tests.fakes.stock import MemoryStock
from tests.fakes.uptimes import MemoryUptimes
from worker_bot import asking, builtin, callbacks, itself, texts
from worker_bot.bot import Bot
from worker_bot.extensions import stock as stock_extension
from worker_bot.seam import install
from worker_bot.switched_off import SwitchedOff


class Scene:
    """A bot with all built-in extensions, its supervisor's answers, and its users."""

    def __init__(self, sandbox: Sandbox, application_id: str, config: BotConfig) -> None:
        self.sandbox, self.application_id, self.config = sandbox, application_id, config
        self.stock, self.uptimes, self.fleet_store = MemoryStock(), MemoryUptimes(), MemoryFleetStore()
        bot = a_bot(1)
        self.fleet_store.put(bot)
        self.bot_id = bot.id
        self.guilds: dict[str, GuildConfig] = {}
        self.asked: list[str] = []
        self.hangs = False
        journal, chronicle = Journal(self.fleet_store, none_refused), Chronicle(self.fleet_store)
        shell = Shell(lambda *_: None, lambda *_: None, lambda _: None, lambda *_: None, lambda _: None)
        self.fleet = Fleet(Policy(), journal, shell, spawn_concurrency=1)
        self.fleet.reconcile([bot])
        topics = {
            **About(self.uptimes, self.fleet, chronicle, asyncio.Semaphore(2)).topics(),
            **Stock(self.stock, asyncio.Semaphore(2)).topics(),
            "guild_config.get": self._get_config,
            "guild_config.set": self._set_config,
        }
        self.answers = Answers(topics, self._tell)
        self.asking = asking.Asking(self._send)
        self.is_quick = False
        self._numbers = itertools.count()

    @property
    def member(self) -> Member:
        member = self.fleet.get(self.bot_id)
        assert member is not None
        return member

    def _send(self, question: Ask) -> bool:
        self.asked.append(question.topic)
        if not self.hangs:
            self.answers.take(self.member, 1, question)
        return True

    def _tell(self, _bot_id: str, message: ToWorker) -> bool:
        self.asking.answered(message)  # type: ignore[arg-type]
        return True

    async def _get_config(self, _member: Member, body: bytes) -> bytes:
        return msgspec.json.encode(self.guilds.get(msgspec.json.decode(body)["guild_id"], GuildConfig()))

    async def _set_config(self, _member: Member, body: bytes) -> bytes:
        asked = msgspec.json.decode(body)
        given = {name: value for name, value in asked["changes"].items() if value is not None}
        try:
            found = msgspec.convert(given, GuildConfig)
        except msgspec.ValidationError as fault:
            raise FixInputError(str(fault), code="config_invalid") from None
        self.guilds[asked["guild_id"]] = found
        return msgspec.json.encode(found)

    def clock(self) -> float:
        """Return the time by which users are paced: minutes pass between two things they do, unless they are quick."""
        return 0.0 if self.is_quick else next(self._numbers) * 60.0

    async def guild(self, guild_id: int) -> GuildConfig:
        return self.known(guild_id)

    async def change(self, guild_id: int, changes: dict[str, Any]) -> GuildConfig:
        question = {"guild_id": str(guild_id), "changes": changes}
        return await builtin.asked("guild_config.set", question, GuildConfig, timeout_s=0.05)

    def known(self, guild_id: int) -> GuildConfig:
        return self.guilds.get(str(guild_id), GuildConfig())

    # Users -----------------------------------------------------------------------------------------------------------

    async def somebody(self) -> dict[str, str]:
        """Return a user of no rights in particular."""
        _, user = await self.sandbox.call("POST", "/sandbox/users", {"username": f"user-{next(self._numbers)}"})
        return {"id": user["id"]}

    async def use(self, command: str, /, **body: Any) -> dict[str, Any]:
        return await self._post("interactions", command=command, **body)

    async def types(self, command: str, focused: str, text: str, **body: Any) -> list[dict[str, str]]:
        body.setdefault("options", {})[focused] = text
        report = await self._post("autocomplete", command=command, focused=focused, **body)
        assert report["status"] == "answered", report
        return list(report["response"]["data"]["choices"])

    async def press(self, shown: dict[str, Any], label: str, **body: Any) -> dict[str, Any]:
        message = shown["message"]
        (button,) = (part for row in message["components"] for part in row["components"] if part.get("label") == label)
        assert not button.get("disabled"), button
        return await self._post("components", message_id=message["id"], custom_id=button["custom_id"], **body)

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return dict(await self.sandbox.control("POST", f"/applications/{self.application_id}/{path}", body))


def text_of(report: dict[str, Any]) -> str:
    """Return all that a user reads in a message."""
    message = report["message"]
    assert message is not None, report
    words = [message["content"]]
    for embed in message["embeds"]:
        words += [embed.get("title", ""), embed.get("description", "")]
        words += [f"{each['name']}: {each['value']}" for each in embed.get("fields", ())]
        words += [embed.get("footer", {}).get("text", "")]
    return "\n".join(word for word in words if word)


def is_private(report: dict[str, Any]) -> bool:
    return bool(report["message"]["flags"] & EPHEMERAL)


@pytest.fixture
def config() -> BotConfig:
    return BotConfig()


@pytest.fixture
async def scene(sandbox: Sandbox, config: BotConfig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    application_id, token = await sandbox.application()
    scene = Scene(sandbox, application_id, config)
    ready = asyncio.Event()

    async def on_ready() -> None:
        ready.set()

    async def on_lost() -> None:
        return

    settings = WorkerConfig(f"{sandbox.url}/api/v10", tuple(BUILT_IN.values()), "INFO", WorkerLimits(), bot=config)
    bot = Bot(token, settings, on_ready=on_ready, on_lost=on_lost)
    asking.install(scene.asking)
    itself.install(itself.Itself(1, lambda: scene.config, lambda: 7, scene.guild, scene.known, scene.change))
    callbacks.gate(SwitchedOff(scene.guild))
    monkeypatch.setattr(builtin, "pace", builtin.Pace(scene.clock))
    monkeypatch.setattr(stock_extension, "seen", stock_extension.Seen())
    monkeypatch.setattr(builtin, "applications", builtin.Applications())
    running = asyncio.create_task(bot.run())
    try:
        await asyncio.wait_for(ready.wait(), 20)
        yield scene
    finally:
        await bot.close()
        running.cancel()
        await asyncio.wait({running})
        asking.install(None)
        callbacks.gate(None)
        itself.install(None)
        install(None)


def items(count: int, **fields: Any) -> list[StockItem]:
    return [structs.replace(StockItem(f"S{n:02}", f"Item {n:02}", n, T0), **fields) for n in range(count)]


# Core ----------------------------------------------------------------------------------------------------------------


async def test_help_shows_each_user_what_they_may_use_in_their_language(scene: Scene) -> None:
    user = await scene.somebody()
    everybody = await scene.use("help", user=user)
    assert is_private(everybody)
    shown = text_of(everybody)
    assert all(f"/{name}:" in shown for name in ("ping", "help", "about", "uptime", "stock browse", "stock search"))
    assert not any(name in shown for name in ("/status", "/reload", "/config"))
    indonesian = text_of(await scene.use("help", user=user, locale="id"))
    assert "/stok cari: Cari sebuah barang." in indonesian
    owners = text_of(await scene.use("help"))
    assert "/status" in owners or "Page 1 of 2" in owners
    dm = text_of(await scene.use("help", dm=True))
    assert "/ping" in dm


async def test_help_turns_its_pages_for_its_user_alone_and_knows_what_is_off(scene: Scene) -> None:
    first = await scene.use("help")
    assert "Page 1 of 2" in text_of(first)
    second = await scene.press(first, "Next")
    assert "Page 2 of 2" in text_of(second)
    assert "/uptime" in text_of(second)
    foreign = await scene.press(second, "Previous", user=await scene.somebody())
    assert (foreign["message"]["content"][:13], is_private(foreign)) == ("These buttons", True)
    (guild_id,) = {str(guild["id"]) for guild in (await scene.sandbox.control("GET", "/guilds"))["items"]}
    scene.guilds[guild_id] = GuildConfig("id", ("stock", "ping"))
    assert "Perintah" in text_of(await scene.use("help", locale="fr"))
    off = await scene.use("ping", user=await scene.somebody(), locale="id")
    assert ("dimatikan" in text_of(off), is_private(off)) == (True, True)
    assert await scene.types("stock search", "item", "") == []
    assert "Pong" in text_of(await scene.use("ping", dm=True))
    less = text_of(await scene.use("help"))
    assert "stock" not in less
    assert "/ping" not in less
    assert [each["value"] for each in await scene.types("help", "command", "/st")] == []
    scene.guilds.clear()
    assert {each["value"] for each in await scene.types("help", "command", "stock ")} == {
        "stock browse",
        "stock low",
        "stock search",
    }
    one = text_of(await scene.use("help", options={"command": "/stock low"}))
    assert "/stock low: For staff" in one
    assert "/ping" not in one
    unknown = await scene.use("help", options={"command": "`@everyone` \u202e"}, user=await scene.somebody())
    assert "There is no command" in text_of(unknown)


async def test_about_and_uptime_tell_what_is_known(scene: Scene) -> None:
    about = text_of(await scene.use("about"))
    assert "Flotilla" in about
    assert "unknown" not in about
    unavailable = await scene.use("uptime", locale="id")
    assert ("belum bisa" in text_of(unavailable), is_private(unavailable)) == (True, True)
    scene.uptimes.marks[scene.bot_id] = [Mark(T0 + timedelta(days=1), up=True, expected=True)]
    uptime = text_of(await scene.use("uptime"))
    assert "24 hours: 100.000 %" in uptime
    assert "Not connected" in uptime


@pytest.mark.parametrize("config", [BotConfig(locale="id")])
async def test_bot_answers_in_its_own_language_where_the_users_is_not_known(scene: Scene) -> None:
    for locale, word in (("pl", "Pong! "), ("id", "Pong! "), ("en-GB", "Pong! ")):
        assert word in text_of(await scene.use("ping", locale=locale, dm=True))
    assert text_of(await scene.use("ping", locale="pl", dm=True)).endswith("md")
    assert text_of(await scene.use("ping", locale="en-GB", dm=True)).endswith("ms")


# Stock ---------------------------------------------------------------------------------------------------------------


async def test_stock_is_browsed_by_page_and_category_and_by_its_user_alone(scene: Scene) -> None:
    tea = items(2 * PAGE_ITEMS + 1, category="tea: green")
    rest = [StockItem("X", "Zest", 3, T0, "peel", "من الليمون \u202e" * 200, "3 €")]
    scene.stock.put(scene.bot_id, *tea, *rest)
    user = await scene.somebody()
    first = await scene.use("stock browse", user=user)
    assert not is_private(first)
    assert "Item 00" in text_of(first)
    assert "Page 1 of 3" in text_of(first)
    second = await scene.press(first, "Next", user=user)
    assert "Page 2 of 3" in text_of(second)
    menu = second["message"]["components"][1]["components"][0]
    assert [option["label"] for option in menu["options"]] == ["All categories", "peel", "tea: green"]
    body = {"message_id": second["message"]["id"], "custom_id": menu["custom_id"], "values": ["c:tea: green"]}
    chosen = await scene._post("components", **body, user=user)
    assert "Zest" not in text_of(chosen)
    last = await scene.press(await scene.press(chosen, "Next", user=user), "Next", user=user)
    assert "Item 10" in text_of(last)
    foreign = await scene._post("components", **body, user=await scene.somebody())
    assert "somebody else" in text_of(foreign)


async def test_search_completes_in_time_even_when_nobody_answers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.stock.put(scene.bot_id, StockItem("A1", "Кофе " + "x" * 95, 3, T0), StockItem("B1", "Tea", 0, T0))
    found = await scene.types("stock search", "item", "кОФ")
    assert [(len(each["name"]), each["value"]) for each in found] == [(100, "sku:A1")]
    monkeypatch.setattr(builtin, "CHOOSE_S", 0.05)
    scene.hangs = True
    assert [each["value"] for each in await scene.types("stock search", "item", "кофе")] == ["sku:A1"]
    assert await scene.types("stock search", "item", "tea") == []
    scene.hangs = False
    assert "Кофе" in text_of(await scene.use("stock search", options={"item": "sku:A1"}))
    user = await scene.somebody()
    assert "sold out" in text_of(await scene.use("stock search", options={"item": "TEA"}, user=user))
    none = await scene.use("stock search", options={"item": "\u0000%_'" + "й" * 5990}, user=user)
    assert ("Nothing was found" in text_of(none), is_private(none)) == (True, True)
    scene.stock.away = True
    away = await scene.use("stock search", options={"item": "tea"}, user=user)
    assert ("right now" in text_of(away), is_private(away)) == (True, True)


async def test_what_runs_low_is_for_staff(scene: Scene) -> None:
    scene.stock.put(scene.bot_id, *items(2, low_at=1), StockItem("M", "Many", 50, T0))
    low = await scene.use("stock low")
    assert is_private(low)
    assert "1 left, low at 1" in text_of(low)
    assert "Many" not in text_of(low)
    assert "permission" in text_of(await scene.use("stock low", user=await scene.somebody()))


async def test_who_hammers_is_asked_to_wait_and_costs_the_supervisor_nothing(scene: Scene) -> None:
    scene.is_quick = True
    user, other = await scene.somebody(), await scene.somebody()
    reports = [await scene.use("stock browse", user=user) for _ in range(builtin.BURST + 2)]
    assert ["Not so fast" in text_of(report) for report in reports] == [False] * builtin.BURST + [True] * 2
    assert len(scene.asked) == builtin.BURST
    assert "nothing here" in text_of(await scene.use("stock browse", user=other))


# Admin ---------------------------------------------------------------------------------------------------------------


async def test_status_and_reload_are_for_owners(scene: Scene) -> None:
    owner = await scene.use("status", dm=True)
    assert is_private(owner)
    assert "State: STARTING" in text_of(owner)
    assert "Config: version 7" in text_of(owner)
    stranger = await scene.somebody()
    for command in ("status", "reload"):
        assert "Only the owners" in text_of(await scene.use(command, dm=True, user=stranger))
    scene.config = BotConfig(owners=(stranger["id"],))
    assert "Generation: 1" in text_of(await scene.use("status", dm=True, user=stranger))


async def test_reload_asks_first_and_is_refused_while_one_is_under_way(scene: Scene) -> None:
    asked = await scene.use("reload", dm=True)
    assert "Nothing was done" in text_of(await scene.press(asked, "Cancel", dm=True))
    asked = await scene.use("reload", dm=True)
    assert "already" in text_of(await scene.press(asked, "Restart", dm=True))  # it is STARTING
    itself.install(itself.Itself(2))
    before = await scene.use("reload", dm=True)
    itself.install(itself.Itself(3))
    assert "too old" in text_of(await scene.press(before, "Restart", dm=True))  # of the process before


async def test_staff_set_what_holds_in_their_server_and_hear_what_is_wrong(scene: Scene) -> None:
    assert "Nothing is set" in text_of(await scene.use("config get"))
    changed = await scene.use("config set", options={"key": "off", "value": "/ping, stock"})
    assert is_private(changed)
    assert '"stock"' in text_of(changed)
    assert '"ping"' in text_of(await scene.use("config get"))
    wrong = text_of(await scene.use("config set", options={"key": "locale", "value": "klingon"}))
    assert "That cannot be set: " in wrong
    unknown = await scene.use("config set", options={"key": "nonsense", "value": "x" * 6000})
    assert "There is no key `nonsense`" in text_of(unknown)
    assert "in a server only" in text_of(await scene.use("config get", dm=True))
    keys = [each["value"] for each in await scene.types("config set", "key", "")]
    assert keys == ["locale", "off"]
    values = await scene.types("config set", "value", "i", options={"key": "locale"})
    assert [each["value"] for each in values] == ["id"]


async def test_discord_is_asked_once_for_the_owners_and_not_at_all_for_a_while_when_it_does_not_tell(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(builtin, "applications", builtin.Applications(lambda: now))
    await scene.sandbox.call("POST", "/sandbox/faults", {"kind": "rest_refused", "route": "GET /", "code": 50001})
    reports = await asyncio.gather(*(scene.use("status", dm=True) for _ in range(3)))
    assert all("Only the owners" in text_of(report) for report in reports)
    faults = (await scene.sandbox.control("GET", "/faults"))["items"]
    assert [fault["struck"] for fault in faults] == [1]
    await scene.sandbox.call("DELETE", "/sandbox/faults")
    assert "Only the owners" in text_of(await scene.use("status", dm=True))
    now += builtin.AGAIN_S
    assert "Generation" in text_of(await scene.use("status", dm=True))


async def test_a_supervisor_that_hangs_is_told_of_politely_whatever_was_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.stock.put(scene.bot_id, *items(PAGE_ITEMS + 1))
    shown, asked = await scene.use("stock browse"), await scene.use("reload", dm=True)
    monkeypatch.setattr(builtin, "LOOK_S", 0.02)
    scene.hangs = True
    monkeypatch.setattr(builtin, "asked", functools.partial(builtin.asked, timeout_s=0.02))
    reports = [
        await scene.use("stock browse"),
        await scene.use("stock search", options={"item": "x"}),
        await scene.use("stock low"),
        await scene.press(shown, "Next"),
        await scene.use("uptime"),
        await scene.use("status", dm=True),
        await scene.press(asked, "Restart", dm=True),
        await scene.use("config get"),
        await scene.use("config set", options={"key": "locale", "value": "id"}),
    ]
    assert [text_of(report) for report in reports] == [texts.say("en-US", "common.unavailable")] * len(reports)
    assert all(map(is_private, reports))
