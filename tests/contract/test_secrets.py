"""Secrets of bots' own, on SQLite and PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest

from flotilla.db.bots import SqlBots
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.db.secrets import SecretsChangedError, SqlSecrets
from flotilla.domain.bot_secrets import MAX_SECRETS, BotSecret, BotSecrets, Encrypted
from flotilla.errors import ConflictError, NotFoundError
from tests.builders import T0, a_bot

LATER = T0 + timedelta(hours=1)


async def test_a_secret_is_set_changed_and_removed_and_the_supervisor_sees_each_change(database: Database) -> None:
    bots, secrets, store = SqlBots(database), SqlSecrets(database), SqlFleetStore(database)
    bot, other = a_bot(1), a_bot(2)
    await bots.add(bot, b"token")
    await bots.add(other, b"other")
    assert await secrets.of(bot.id) == BotSecrets()
    seen = [await store.wanted()]
    await secrets.put(bot.id, "SHOP_DB", b"one", "ann", T0)
    await secrets.put(bot.id, "A_KEY", b"key", "bo", T0)
    found = await secrets.put(bot.id, "SHOP_DB", b"two", "bo", LATER)
    assert found == BotSecrets(3, (BotSecret("A_KEY", T0, "bo"), BotSecret("SHOP_DB", LATER, "bo")))
    assert await secrets.of(bot.id) == found
    assert await secrets.of(other.id) == BotSecrets()
    credentials = await store.credentials([bot.id, other.id, "gone"])
    expected = {bot.id: Encrypted(b"token", {"A_KEY": b"key", "SHOP_DB": b"two"}), other.id: Encrypted(b"other")}
    assert credentials == expected
    seen.append(await store.wanted())
    assert await secrets.remove(bot.id, "SHOP_DB", "bo", LATER) == BotSecrets(4, found.items[:1])
    seen.append(await store.wanted())
    names = [{row.bot.id: row.bot.secret_names for row in rows}[bot.id] for rows in seen]
    assert names == [(), ("A_KEY", "SHOP_DB"), ("A_KEY",)]
    assert (await bots.get(bot.id)).bot.desired_epoch == 0
    page = await SqlHappenings(database).page(HappeningFilter(bot=bot.id, code="secret_changed"), 10, None)
    told = sorted((row.happening.detail["secret"], row.happening.detail["what"]) for row in page.items)
    assert told == [("A_KEY", "set"), ("SHOP_DB", "removed"), ("SHOP_DB", "set"), ("SHOP_DB", "set")]
    assert "two" not in str(page.items)


async def test_a_change_for_another_version_changes_nothing(database: Database) -> None:
    secrets = SqlSecrets(database)
    bot = a_bot(1)
    await SqlBots(database).add(bot, b"token")
    found = await secrets.put(bot.id, "SHOP_DB", b"one", "ann", T0, expected=0)
    for change in (
        secrets.put(bot.id, "SHOP_DB", b"two", "bo", T0, expected=0),
        secrets.put(bot.id, "OTHER", b"two", "bo", T0, expected=7),
        secrets.remove(bot.id, "SHOP_DB", "bo", T0, expected=0),
    ):
        with pytest.raises(SecretsChangedError):
            await change
    assert await secrets.of(bot.id) == found
    await secrets.remove(bot.id, "SHOP_DB", "bo", T0, expected=1)


async def test_no_more_than_allowed_even_when_set_at_once(database: Database) -> None:
    secrets = SqlSecrets(database)
    bot = a_bot(1)
    await SqlBots(database).add(bot, b"token")
    for number in range(MAX_SECRETS - 2):
        await secrets.put(bot.id, f"S{number:02}", b"x", "ann", T0)
    several = (secrets.put(bot.id, f"T{number}", b"x", "ann", T0) for number in range(5))
    ended = await asyncio.gather(*several, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, ConflictError)]
    assert [each.code for each in refused] == ["secrets_too_many"] * 3
    assert len((await secrets.of(bot.id)).items) == MAX_SECRETS
    await secrets.put(bot.id, "S00", b"y", "ann", T0)  # one that is there may change


async def test_a_bot_that_is_gone_has_none_and_takes_none(database: Database) -> None:
    bots, secrets = SqlBots(database), SqlSecrets(database)
    bot = a_bot(1)
    await bots.add(bot, b"token")
    with pytest.raises(NotFoundError) as raised:
        await secrets.remove(bot.id, "SHOP_DB", "ann", T0)
    assert raised.value.code == "secret_unknown"
    await secrets.put(bot.id, "SHOP_DB", b"one", "ann", T0)
    await bots.remove(bot.id, T0)
    for change in (
        secrets.put(bot.id, "SHOP_DB", b"two", "ann", T0),
        secrets.remove(bot.id, "SHOP_DB", "ann", T0),
        secrets.of("nope"),
    ):
        with pytest.raises(NotFoundError) as raised:
            await change
        assert raised.value.code == "bot_unknown"
    await SqlFleetStore(database).drop([bot.id])
    await bots.add(bot, b"token")
    assert await secrets.of(bot.id) == BotSecrets()
