"""What a bot hears and keeps follows from its config, and extensions that need more say what to set."""

import hikari
import pytest
from hikari.api import CacheComponents as Part

from flotilla.domain.config import BotConfig, Cache
from flotilla.domain.intents import INTENTS, UNPRIVILEGED
from worker_bot import authoring
from worker_bot.keepsake import keeps_all, kept
from worker_bot.profiles import FILLED_BY, PARTS, Needs, lacking, profile_of

LEAN = Part.ME | Part.GUILDS | Part.GUILD_CHANNELS | Part.ROLES


def test_every_part_of_hikaris_cache_says_what_fills_it() -> None:
    single = {part for part in Part if int(part).bit_count() == 1}
    assert set(FILLED_BY) == single
    assert set(PARTS) == set(Cache)
    assert {name for names in FILLED_BY.values() for name in names} <= set(INTENTS)


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (BotConfig(), LEAN),
        (BotConfig(cache=Cache.NONE), Part.ME),
        (BotConfig(intents=()), Part.ME),
        (BotConfig(intents=("GUILD_MESSAGES",)), Part.ME),
        (BotConfig(cache=Cache.MEMBERS, intents=("GUILDS", "GUILD_MEMBERS")), LEAN | Part.MEMBERS),
        (BotConfig(cache=Cache.FULL), Part.ALL & ~(Part.MEMBERS | Part.PRESENCES)),
        (BotConfig(cache=Cache.FULL, intents=tuple(INTENTS)), Part.ALL),
    ],
)
def test_only_what_its_intents_can_fill_is_kept(config: BotConfig, parts: Part) -> None:
    profile = profile_of(config)
    assert profile.parts == parts
    assert profile.cache_settings().components == parts
    assert profile.cache_settings().max_messages <= 300


def test_intents_are_those_named_or_all_that_need_no_approval() -> None:
    assert profile_of(BotConfig()).intents == hikari.Intents.ALL_UNPRIVILEGED
    wanted = profile_of(BotConfig(intents=("GUILDS", "MESSAGE_CONTENT"))).intents
    assert wanted == hikari.Intents.GUILDS | hikari.Intents.MESSAGE_CONTENT


def test_extension_that_needs_more_says_what_to_set() -> None:
    authoring.needs("shop", intents=("GUILD_MEMBERS",), cache="members")
    needs = authoring.needed_by(("shop", "other"))
    assert set(needs) == {"shop"}
    told = lacking(BotConfig(), needs)
    assert "shop needs the intent GUILD_MEMBERS. Switch GUILD_MEMBERS on in the Developer Portal" in told
    assert "flotilla bots config NAME cache=members" in told
    enough = BotConfig(intents=(*UNPRIVILEGED, "GUILD_MEMBERS"), cache=Cache.FULL)
    assert lacking(enough, needs) == ""
    assert lacking(BotConfig(), {"shop": Needs()}) == ""
    with pytest.raises(ValueError, match="huge"):
        authoring.needs("shop", cache="huge")


def test_cache_that_kept_as_much_serves_one_that_keeps_less() -> None:
    full, lean = (kept(profile_of(BotConfig(cache=cache)).cache_settings()) for cache in (Cache.FULL, Cache.LEAN))
    assert keeps_all(full, lean)
    assert keeps_all(lean, lean)
    assert not keeps_all(lean, full)
    assert keeps_all("", "")
    assert not keeps_all("", lean)
    others = hikari.impl.CacheSettings(components=LEAN, max_messages=1)
    assert not keeps_all(full, kept(others))
