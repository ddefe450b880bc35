"""Changing a config: RFC 7396's own examples, what is refused and how that is told, and what a release before reads."""

from typing import Any

import pytest

from flotilla.domain.config import MAX_CONFIG_BYTES, BotConfig, Cache, GuildConfig, Presence
from flotilla.domain.config_changes import MAX_DEPTH, changed, lenient, merged, parsed
from flotilla.errors import FixInputError

# RFC 7396, Appendix A.
EXAMPLES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), EXAMPLES)
def test_patch_is_merged_as_the_rfc_has_it(target: Any, patch: Any, expected: Any) -> None:
    assert merged(target, patch) == expected


def test_what_is_not_named_stays_and_null_goes_back_to_the_default() -> None:
    config = BotConfig(
        cache=Cache.FULL, presence=Presence(activity="chess"), settings={"shop": {"currency": "IDR", "rows": 5}}
    )
    after = changed(config, {"cache": None, "presence": {"status": "idle"}, "settings": {"shop": {"rows": None}}})
    assert after.cache is Cache.LEAN
    assert (after.presence.status, after.presence.activity) == ("idle", "chess")
    assert after.settings == {"shop": {"currency": "IDR"}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"colour": "red"}, "no 'colour'"),
        ({"presence": {"status": "away"}}, "presence.status: "),
        ({"presence": {"colour": 1}}, "presence: Object contains unknown field `colour`"),
        ({"owners": ["1"]}, "owners[0]: "),
        ({"settings": {"shop": 3}}, "settings[...]: "),
        ({"settings": {"shop": {"rows": 10**30}}}, "settings.shop.rows: the number is too large"),
        ({"settings": {"shop": {"list": [1, -(10**30)]}}}, "settings.shop.list[1]: the number is too large"),
        ({"settings": {"x" * 201: {}}}, "a name in settings: "),
        ({"settings": {"shop": {"name": "\ud800"}}}, "surrogate"),
        ({"settings": nested(MAX_DEPTH)}, "nested deeper"),
        ({"extensions": "shop"}, "extensions: "),
        ({"extensions": ["../shop.py"]}, "extensions[0]: "),
        ({"app": "shop"}, "app: "),
    ],
)
def test_wrong_config_is_refused_with_its_place(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(FixInputError) as raised:
        changed(BotConfig(), changes)
    assert raised.value.code == "config_invalid"
    assert told in raised.value.message


def test_config_may_not_grow_beyond_its_bound_by_many_small_changes() -> None:
    config = changed(BotConfig(), {"settings": {"shop": {"a": "x" * 40_000}}})
    with pytest.raises(FixInputError) as raised:
        changed(config, {"settings": {"shop": {"b": "x" * 40_000}}})
    assert raised.value.code == "config_too_large"
    assert str(MAX_CONFIG_BYTES) in raised.value.message


def test_config_as_deep_as_it_may_be_is_taken() -> None:
    settings = nested(MAX_DEPTH - 1)
    assert changed(BotConfig(), {"settings": settings}).settings == settings


def test_guild_config_has_fields_of_its_own() -> None:
    assert parsed({"locale": "id", "off": ["stock"]}, GuildConfig) == GuildConfig("id", ("stock",))
    with pytest.raises(FixInputError):
        parsed({"cache": "full"}, GuildConfig)


def test_config_of_a_newer_release_is_read_as_far_as_it_is_understood() -> None:
    stored = {"locale": "id", "cache": "sparse", "voice": True, "presence": {"status": "idle", "colour": "red"}}
    assert lenient(stored, BotConfig) == BotConfig(locale="id")
