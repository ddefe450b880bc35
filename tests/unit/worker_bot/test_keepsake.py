import pickle
from typing import Any

import hikari
import pytest

from tests.guilds import LEAN, ME, USER, Shard, bot, channel, guild, guild_id
from worker_bot import keepsake
from worker_bot.keepsake import KeepsakeError, Stamp, pack, unpack

STAMP = Stamp({0: ("s1", 7), 1: ("s2", 9)})


def filled(guilds: int = 3) -> hikari.GatewayBot:
    app = bot()
    for number in range(guilds):
        app._event_manager.consume_raw_event("GUILD_CREATE", Shard(app), guild(number))  # type: ignore[arg-type]
    app._cache.set_me(app.entity_factory.deserialize_my_user(USER))
    return app


async def test_successor_has_the_same_cache_bound_to_its_own_application() -> None:
    before, after = filled(), bot()
    found = unpack(after._cache, pack(before._cache, STAMP))
    assert found.stamp == STAMP
    found.fill(after._cache)
    assert after.get_me() == before.get_me()
    for number in range(3):
        was, now = before.cache.get_guild(guild_id(number)), after.cache.get_guild(guild_id(number))
        assert was is not None
        assert now is not None
        assert now.app is after
        assert (now.name, now.get_channels().keys(), now.get_roles()) == (
            was.name,
            was.get_channels().keys(),
            was.get_roles(),
        )
        own = now.get_my_member()
        assert own is not None
        assert (own.id, own.app) == (ME, after)


async def test_cells_that_entities_share_stay_shared_and_counted() -> None:
    before, after = filled(), bot()
    unpack(after._cache, pack(before._cache, STAMP)).fill(after._cache)
    cell: Any = after._cache._user_entries[hikari.Snowflake(ME)]
    for record in after._cache._guild_entries.values():
        assert record.members is not None
        assert record.members[hikari.Snowflake(ME)].object.user is cell
    assert cell.ref_count == before._cache._user_entries[hikari.Snowflake(ME)].ref_count == 3
    for number in range(3):
        after._event_manager.consume_raw_event("GUILD_DELETE", Shard(after), {"id": str(guild_id(number))})  # type: ignore[arg-type]
    assert not after._cache._user_entries
    assert not after._cache._guild_entries


async def test_events_change_what_was_unpacked_as_if_it_had_never_moved() -> None:
    after = bot()
    unpack(after._cache, pack(filled()._cache, STAMP)).fill(after._cache)
    new: Any = channel(1, 9) | {"name": "new"}
    after._event_manager.consume_raw_event("CHANNEL_CREATE", Shard(after), new)  # type: ignore[arg-type]
    known = after.cache.get_guild_channels_view_for_guild(guild_id(1)).values()
    assert [str(found.name) for found in known] == ["channel-0", "channel-1", "channel-2", "new"]


async def test_cache_of_other_settings_is_refused() -> None:
    packed = pack(filled()._cache, STAMP)
    after = bot(LEAN | hikari.api.CacheComponents.EMOJIS)
    with pytest.raises(KeepsakeError, match="was made by"):
        unpack(after._cache, packed)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "head"])
async def test_damaged_bytes_are_refused_and_leave_the_cache_empty(damage: str) -> None:
    packed = bytearray(pack(filled()._cache, STAMP))
    if damage == "cut":
        del packed[-5:]
    elif damage == "flipped":
        packed[-40] ^= 1
    elif damage == "empty":
        packed.clear()
    else:
        packed[:4] = b"\xff" * 4
    after = bot()
    with pytest.raises(KeepsakeError):
        unpack(after._cache, bytes(packed))
    assert not after._cache._guild_entries


class Evil:
    def __reduce__(self) -> Any:
        return eval, ("1 / 0",)


class AlsoEvil:
    def __reduce__(self) -> Any:
        return hikari.impl.event_manager_base._assert_is_listener, ((),)


@pytest.mark.parametrize("evil", [Evil(), AlsoEvil()])
async def test_bytes_that_name_anything_but_hikaris_classes_are_refused(
    monkeypatch: pytest.MonkeyPatch, evil: object
) -> None:
    before = filled(1)
    monkeypatch.setattr(keepsake, "_STORES", ())
    before._cache._me = evil  # type: ignore[assignment]
    packed = pack(before._cache, STAMP)
    assert b"eval" in packed or b"_assert_is_listener" in packed
    with pytest.raises(KeepsakeError, match="no part of a cache"):
        unpack(bot()._cache, packed)


async def test_cache_that_is_too_large_or_unfit_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = filled(1)
    monkeypatch.setattr(keepsake, "MAX_BYTES", 100)
    with pytest.raises(KeepsakeError, match="more than 100"):
        pack(app._cache, STAMP)
    app._cache._me = memoryview(b"")  # type: ignore[assignment]
    with pytest.raises(KeepsakeError, match="cannot be packed"):
        pack(app._cache, STAMP)


def test_pinned_releases_have_the_private_stores() -> None:
    """hikari is pinned; a new release that renames or adds a store must not pass."""
    names = set(hikari.impl.CacheImpl.__slots__)
    assert set(keepsake._STORES) | {"_app", "_me", "_settings", "_intents"} == names
    assert pickle.HIGHEST_PROTOCOL >= 5
