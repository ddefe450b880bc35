"""What cannot be in a config as a whole, and what a change of it takes."""

from typing import Any

import hikari
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.config import BotConfig, Cache, Presence
from flotilla.domain.config_changes import changed
from flotilla.domain.config_checks import asked_of_discord, checked
from flotilla.domain.config_effects import FIELDS, Effect, changes_of, effect_of, whole_effect
from flotilla.domain.intents import INTENTS, PRIVILEGED, UNPRIVILEGED, bits, wanted
from flotilla.errors import FixInputError


def test_intents_are_those_of_hikari() -> None:
    single = {intent.name: int(intent) for intent in hikari.Intents if int(intent).bit_count() == 1}
    assert single == INTENTS
    assert bits(frozenset(PRIVILEGED)) == int(hikari.Intents.ALL_PRIVILEGED)
    assert bits(wanted(None)) == int(hikari.Intents.ALL_UNPRIVILEGED)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"intents": ["GUILD_MEMBER"]}, "intents[0]: Discord has no intent 'GUILD_MEMBER'. Perhaps GUILD_MEMBERS"),
        ({"intents": ["zzz"]}, "There are: GUILDS, "),
        ({"cache": "members"}, "cache: members needs the intent GUILD_MEMBERS"),
        ({"cache": "full", "intents": ["GUILD_MEMBERS"]}, "cache: full needs the intent GUILDS"),
        ({"extensions": ["shop.py"]}, "extensions[0]: 'shop.py' is a file; name the module: 'shop'"),
        ({"extensions": ["stocks"]}, "extensions[0]: There is no 'stocks'. Perhaps 'stock' is meant."),
        ({"extensions": ["stock"], "without": ["worker_bot.extensions.stock"]}, "is in extensions as well"),
        ({"app": "worker_bot.bot:Bot"}, "is Flotilla's own code"),
    ],
)
def test_what_cannot_be_is_told_with_what_to_do(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(FixInputError) as raised:
        checked(changed(BotConfig(), changes))
    assert raised.value.code == "config_invalid"
    assert told in raised.value.message


def test_all_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(FixInputError) as raised:
        checked(BotConfig(intents=("NONE", "X"), cache=Cache.MEMBERS))
    assert len(raised.value.fields["faults"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config",
    [
        BotConfig(),
        BotConfig(cache=Cache.FULL),
        BotConfig(cache=Cache.MEMBERS, intents=("GUILDS", "GUILD_MEMBERS")),
        BotConfig(intents=()),
        BotConfig(extensions=("mine", "shop.orders", "stock"), without=("core",), app="shop.bot:create_bot"),
    ],
)
def test_what_can_be_is_taken(config: BotConfig) -> None:
    assert checked(config) is config


def test_privileged_intents_that_are_new_are_named() -> None:
    before = BotConfig(intents=("GUILDS", "MESSAGE_CONTENT"))
    after = BotConfig(intents=("GUILDS", "MESSAGE_CONTENT", "GUILD_MEMBERS"))
    assert asked_of_discord(before, after) == ("GUILD_MEMBERS",)
    assert asked_of_discord(after, before) == ()


def test_every_field_says_how_it_comes_to_hold() -> None:
    assert set(FIELDS) == set(BotConfig.__struct_fields__)


CASES = [
    ({}, {"presence": {"activity": "chess"}, "owners": ["123456789012345678"], "locale": "id"}, Effect.LIVE),
    ({}, {"settings": {"shop": {"rows": 3}}}, Effect.LIVE),
    ({}, {"extensions": ["shop"]}, Effect.WARM_RESTART),
    ({}, {"extensions": ["shop"], "presence": {"status": "idle"}}, Effect.WARM_RESTART),
    ({"extensions": ["stock"]}, {"extensions": ["worker_bot.extensions.stock"]}, Effect.NONE),
    ({}, {"cache": "none"}, Effect.WARM_RESTART),
    ({"cache": "none"}, {"cache": "lean"}, Effect.NEW_SESSION),
    ({}, {"cache": "full"}, Effect.NEW_SESSION),
    ({}, {"intents": ["GUILDS"]}, Effect.NEW_SESSION),
    ({}, {"intents": list(UNPRIVILEGED)}, Effect.NONE),
    ({}, {}, Effect.NONE),
]


@pytest.mark.parametrize(("was", "changes", "effect"), CASES)
def test_a_change_takes_no_more_than_it_must(was: dict[str, Any], changes: dict[str, Any], effect: Effect) -> None:
    before = changed(BotConfig(), was)
    assert whole_effect(before, changed(before, changes)) is effect


def test_changes_are_shown_field_by_field() -> None:
    before, after = BotConfig(locale="id"), BotConfig(presence=Presence(activity="chess"))
    shown = {row.field: (row.before, row.after, row.effect) for row in changes_of(before, after)}
    assert shown == {
        "presence": (None, {"activity": "chess"}, Effect.LIVE),
        "locale": ("id", None, Effect.LIVE),
    }


configs = st.builds(
    BotConfig,
    cache=st.sampled_from(Cache),
    intents=st.none() | st.lists(st.sampled_from(sorted(INTENTS)), max_size=4, unique=True).map(tuple),
    locale=st.sampled_from(["id", "en-US"]),
    extensions=st.lists(st.sampled_from(["a", "b", "core"]), max_size=2).map(tuple),
)


@given(configs, configs)
def test_the_whole_takes_as_much_as_its_costliest_field(before: BotConfig, after: BotConfig) -> None:
    order = list(Effect)
    whole = whole_effect(before, after)
    assert all(order.index(effect_of(name, before, after)) <= order.index(whole) for name in FIELDS)
    assert (whole_effect(before, before), changes_of(after, after)) == (Effect.NONE, ())
