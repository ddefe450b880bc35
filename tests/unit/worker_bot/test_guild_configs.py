"""What is set in guilds, as a worker knows it: asked for once, told when it changes, and there without a supervisor."""

import asyncio
import json

import msgspec
import pytest

from flotilla.domain.config import BotConfig, GuildConfig
from flotilla.protocol import GuildsChanged, GuildSet
from worker_bot import authoring, guild_configs
from worker_bot.asking import AskingError
from worker_bot.guild_configs import GuildConfigs

ONE, TWO = 200000000000000001, 200000000000000002
ID = GuildConfig("id", settings={"shop": {"rows": 9}})


class Supervisor:
    """Answers what is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.set = {str(ONE): ID}
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, topic: str, body: bytes, _timeout_s: float) -> bytes:
        question = json.loads(body)
        self.asked.append(f"{topic} {question['guild_id']}")
        if self.away:
            raise AskingError("no_answer", "the supervisor did not answer")
        answer = self.set.get(question["guild_id"], GuildConfig())
        await self.gate.wait()
        if "changes" in question:
            answer = self.set[question["guild_id"]] = GuildConfig(**question["changes"])
        return msgspec.json.encode(answer)


async def test_guild_is_asked_for_once_by_all_who_want_it() -> None:
    supervisor = Supervisor()
    guilds = GuildConfigs(supervisor.ask)
    assert guilds.known(ONE) == GuildConfig()
    assert set(map(repr, await asyncio.gather(*(guilds.of(ONE) for _ in range(5))))) == {repr(ID)}
    assert (await guilds.of(ONE), guilds.known(ONE)) == (ID, ID)
    assert supervisor.asked == [f"guild_config.get {ONE}"]


async def test_changes_are_told_and_those_made_here_are_known() -> None:
    supervisor = Supervisor()
    guilds = GuildConfigs(supervisor.ask)
    await guilds.of(ONE)
    guilds.take(GuildsChanged(4, (GuildSet(str(ONE), GuildConfig("fr"), 2), GuildSet(str(TWO), ID, 1))))
    assert (guilds.version, await guilds.of(ONE), guilds.known(TWO)) == (4, GuildConfig("fr"), GuildConfig())
    assert await guilds.change(TWO, {"locale": "de"}) == GuildConfig("de")
    assert (await guilds.of(TWO), len(supervisor.asked)) == (GuildConfig("de"), 2)


async def test_change_told_while_it_is_asked_for_is_not_lost() -> None:
    supervisor = Supervisor()
    guilds = GuildConfigs(supervisor.ask)
    supervisor.gate.clear()
    asking = asyncio.create_task(guilds.of(ONE))
    await asyncio.sleep(0.01)
    guilds.take(GuildsChanged(5, (GuildSet(str(ONE), GuildConfig("fr"), 2),)))
    supervisor.gate.set()
    await asking
    await asyncio.sleep(0)
    assert guilds.known(ONE) == GuildConfig("fr")


async def test_what_was_known_serves_while_the_supervisor_is_away() -> None:
    supervisor = Supervisor()
    guilds = GuildConfigs(supervisor.ask)
    await guilds.of(ONE)
    guilds.take(GuildsChanged(9, (), all_else=True))
    supervisor.away = True
    assert (await guilds.of(ONE), await guilds.of(TWO)) == (ID, GuildConfig())
    assert len(supervisor.asked) == 2, "it is not asked again at once"
    with pytest.raises(AskingError):
        await guilds.change(ONE, {})


async def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guild_configs, "MAX_KEPT", 2)
    guilds = GuildConfigs(Supervisor().ask)
    for guild_id in (ONE, TWO, ONE, TWO + 1):
        await guilds.of(guild_id)
    assert [guilds.known(guild_id) for guild_id in (ONE, TWO)] == [ID, GuildConfig()]
    assert len(guilds._kept) == 2


async def test_settings_of_a_guild_stand_before_the_bots() -> None:
    authoring.install(
        lambda: BotConfig(settings={"shop": {"rows": 1, "colour": "red"}}), GuildConfigs(Supervisor().ask)
    )
    assert await authoring.guild_settings("shop", ONE) == {"rows": 9, "colour": "red"}
    assert await authoring.guild_settings("shop", TWO) == {"rows": 1, "colour": "red"}
    authoring.install(None, None)
    assert await authoring.guild_settings("shop", ONE) == {}
