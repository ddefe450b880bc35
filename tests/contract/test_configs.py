"""Configs of bots and guilds, and what came of them, on both databases."""

import asyncio
from typing import Any

import pytest

from flotilla.db.bots import SqlBots
from flotilla.db.configs import ChangedMeanwhileError, SqlConfigs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.bots import Bot
from flotilla.domain.config import BotConfig, Cache, GuildConfig
from flotilla.domain.config_record import NO_OUTCOME, VERSIONS_KEPT, ConfigOutcome, GuildVersion, Refusal
from flotilla.errors import FixInputError, NotFoundError
from tests.builders import T0, a_bot

GUILD = "200000000000000001"


@pytest.fixture
async def bot(database: Database) -> Bot:
    bot = a_bot(1)
    await SqlBots(database).add(bot, b"")
    return bot


@pytest.fixture
def configs(database: Database) -> SqlConfigs:
    return SqlConfigs(database)


async def test_each_change_is_a_version_and_one_without_effect_is_none(
    database: Database, configs: SqlConfigs, bot: Bot
) -> None:
    first = await configs.change(bot.id, {"locale": "id"}, "ada")
    assert (first.before, first.after, first.version) == (BotConfig(), BotConfig(locale="id"), 1)
    second = await configs.change(bot.id, {"cache": "none", "settings": {"shop": {"rows": 3}}}, "bob")
    assert (await configs.change(bot.id, {"cache": "none"}, "eve")).version == second.version == 2
    found = (await SqlBots(database).get(bot.id)).bot
    assert (found.config, found.config_version) == (second.after, 2)
    told = [(row.version, row.config, row.changed_by) for row in await configs.history(bot.id)]
    assert told == [(2, second.after, "bob"), (1, first.after, "ada"), (0, BotConfig(), "")]


async def test_bot_goes_back_to_any_version_that_is_remembered(configs: SqlConfigs, bot: Bot) -> None:
    for locale in ("id", "fr"):
        await configs.change(bot.id, {"locale": locale}, "ada")
    back = await configs.roll_back(bot.id, 1, "ada")
    assert (back.before.locale, back.after.locale, back.version) == ("fr", "id", 3)
    assert (await configs.roll_back(bot.id, 0, "ada")).after == BotConfig()
    with pytest.raises(NotFoundError) as raised:
        await configs.roll_back(bot.id, 99, "ada")
    assert raised.value.code == "version_unknown"


async def test_only_the_last_versions_are_remembered(configs: SqlConfigs, bot: Bot) -> None:
    for number in range(VERSIONS_KEPT + 5):
        await configs.change(bot.id, {"settings": {"shop": {"n": number}}}, "ada")
    found = [row.version for row in await configs.history(bot.id)]
    assert found == list(range(VERSIONS_KEPT + 5, 5, -1))


async def test_of_two_changes_for_the_same_version_one_is_refused(configs: SqlConfigs, bot: Bot) -> None:
    changes: list[dict[str, Any]] = [{"locale": "id"}, {"cache": "none"}]
    tries = (configs.change(bot.id, change, "ada", expected=0) for change in changes)
    found = await asyncio.gather(*tries, return_exceptions=True)
    refused = [fault for fault in found if isinstance(fault, ChangedMeanwhileError)]
    assert len(refused) == 1
    assert "version 1, not 0" in refused[0].message


async def test_changes_at_once_are_all_made_one_after_the_other(configs: SqlConfigs, bot: Bot) -> None:
    numbers = range(8)
    await asyncio.gather(*(configs.change(bot.id, {"settings": {f"e{n}": {"n": n}}}, "ada") for n in numbers))
    newest = (await configs.history(bot.id))[0]
    assert newest.version == len(numbers)
    assert newest.config.settings == {f"e{n}": {"n": n} for n in numbers}


async def test_what_cannot_be_and_what_is_only_tried_changes_nothing(configs: SqlConfigs, bot: Bot) -> None:
    for wrong in ({"cache": "members"}, {"cache": "huge"}, {"colour": 1}):
        with pytest.raises(FixInputError):
            await configs.change(bot.id, wrong, "ada")
    tried = await configs.change(bot.id, {"cache": "none"}, "ada", dry_run=True)
    assert (tried.after.cache, tried.version) == (Cache.NONE, 0)
    assert await configs.history(bot.id) == []


async def test_guilds_have_configs_of_their_own_which_are_found_by_when_they_changed(
    database: Database, configs: SqlConfigs, bot: Bot
) -> None:
    assert await configs.guild(bot.id, GUILD) == GuildVersion(GUILD)
    await configs.change_guild(bot.id, GUILD, {"locale": "id"})
    await configs.change_guild(bot.id, "2" * 18, {"off": ["stock"]})
    after = await configs.change_guild(bot.id, GUILD, {"settings": {"shop": {"rows": 3}}}, expected=1)
    assert (after.config, after.version, after.guilds_version) == (
        GuildConfig("id", (), {"shop": {"rows": 3}}),
        2,
        3,
    )
    assert await configs.guild(bot.id, GUILD) == after
    assert await configs.change_guild(bot.id, GUILD, {"locale": "id"}) == after
    assert (await SqlBots(database).get(bot.id)).bot.guilds_version == 3
    assert [row.guild_id for row in await configs.guilds_since(bot.id, 0, 10)] == ["2" * 18, GUILD]
    assert [row.guild_id for row in await configs.guilds_since(bot.id, 2, 10)] == [GUILD]
    assert len(await configs.guilds_since(bot.id, 0, 1)) == 1
    with pytest.raises(ChangedMeanwhileError):
        await configs.change_guild(bot.id, GUILD, {"locale": None}, expected=1)
    with pytest.raises(FixInputError):
        await configs.change_guild(bot.id, GUILD, {"cache": "none"})


async def test_guilds_cannot_fill_the_disk(configs: SqlConfigs, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flotilla.db.configs.MAX_GUILDS", 1)
    await configs.change_guild(bot.id, GUILD, {"locale": "id"})
    await configs.change_guild(bot.id, GUILD, {"locale": "fr"})
    with pytest.raises(FixInputError) as raised:
        await configs.change_guild(bot.id, "2" * 18, {"locale": "id"})
    assert raised.value.code == "guilds_too_many"


async def test_what_came_of_a_config_is_remembered(database: Database, configs: SqlConfigs, bot: Bot) -> None:
    store = SqlFleetStore(database)
    assert [row.outcome for row in await store.fleet()] == [NO_OUTCOME]
    refused = Refusal(8, "intents_refused", "close code 4014", T0)
    outcome = ConfigOutcome(7, BotConfig(locale="id"), refused)
    await configs.record_outcomes({bot.id: outcome}, T0)
    await configs.record_outcomes({"gone": outcome}, T0)
    assert [row.outcome for row in await store.fleet()] == [outcome]
    assert (await SqlBots(database).get(bot.id)).outcome == outcome
    await configs.record_outcomes({bot.id: ConfigOutcome(9, BotConfig())}, T0)
    assert [row.outcome for row in await store.fleet()] == [ConfigOutcome(9, BotConfig())]


async def test_config_of_a_bot_that_is_not_there_is_not_found(configs: SqlConfigs) -> None:
    calls = (
        configs.change("gone", {}, "ada"),
        configs.roll_back("gone", 1, "ada"),
        configs.history("gone"),
        configs.guild("gone", GUILD),
        configs.change_guild("gone", GUILD, {}),
    )
    for call in calls:
        with pytest.raises(NotFoundError) as raised:
            await call
        assert raised.value.code == "bot_unknown"
