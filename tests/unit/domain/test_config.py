"""A bot's config takes what makes sense, names what does not, and says what the bot loads."""

import msgspec
import pytest

from flotilla.domain.config import BotConfig, Cache, GuildConfig

FLEET = ("worker_bot.extensions.core", "shop.orders")


def read(**values: object) -> BotConfig:
    return msgspec.json.decode(msgspec.json.encode(values), type=BotConfig)


def test_a_bot_of_which_nothing_is_set_loads_what_the_fleet_does() -> None:
    assert read().loaded(FLEET) == FLEET
    assert read().cache is Cache.LEAN
    assert msgspec.json.encode(read()) == b"{}"


def test_short_names_and_module_paths_of_built_in_extensions_are_the_same() -> None:
    wanted = read(extensions=["stock", "worker_bot.extensions.core", "mine"], without=["shop.orders"])
    assert wanted.loaded(FLEET) == ("worker_bot.extensions.core", "worker_bot.extensions.stock", "mine")
    assert read(without=["core"]).loaded(FLEET) == ("shop.orders",)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"app": "shop"}, "app"),
        ({"app": "shop:make()"}, "app"),
        ({"extensions": ["../shop"]}, "extensions"),
        ({"owners": ["me"]}, "owners"),
        ({"cache": "huge"}, "cache"),
        ({"locale": "klingon"}, "locale"),
        ({"presence": {"activity": "x" * 129}}, "presence.activity"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_named(values: dict[str, object], what: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=what):
        read(**values)


def test_a_guild_sets_its_own_language_and_nothing_unknown() -> None:
    assert msgspec.json.decode(b'{"locale": "id", "off": ["stock"]}', type=GuildConfig).locale == "id"
    with pytest.raises(msgspec.ValidationError, match="tongue"):
        msgspec.json.decode(b'{"tongue": "id"}', type=GuildConfig)
