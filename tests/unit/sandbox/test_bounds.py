"""What an endless stream of requests makes the sandbox keep is bounded."""

from typing import Any

import pytest

from sandbox import changes, limits
from sandbox.errors import DiscordError
from sandbox.faults import kinds
from sandbox.faults.book import FaultBook
from sandbox.interactions.interactions import Act, Kind
from sandbox.limits import Quota
from sandbox.local_discord import LocalDiscord
from sandbox.messages.attachments import Files, Upload
from sandbox.messages.store import MessageStore
from sandbox.rest.addresses import Addresses
from sandbox.rest.ratelimit import Bucket, RateLimiter, bucket_of
from sandbox.snowflakes import Sequence
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, ChannelType, Guild
from sandbox.world.world import WorldFullError

NOW = 1_800_000_000.0
MANY = 60_000


def message(number: int, content: str = "x", **more: Any) -> dict[str, Any]:
    base = {"id": str(number), "channel_id": str(number % 500), "content": content, "nonce": str(number)}
    return base | {"embeds": [], "components": [], "author": {"id": "1"}} | more


def test_messages_and_nonces_are_bounded_in_number() -> None:
    store = MessageStore()
    for number in range(MANY):
        store.remember_nonce("1", store.keep(message(number)), NOW)
    kept = sum(len(store.page(str(channel), limits.MESSAGES_KEPT)) for channel in range(500))
    assert kept == limits.MESSAGES_KEPT_IN_ALL
    sent = sum(store.sent_before("1", str(n % 500), str(n), NOW) is not None for n in range(MANY))
    assert sent == limits.NONCES_KEPT


def test_messages_are_bounded_in_bytes() -> None:
    store = MessageStore()
    large = [{"description": "x" * 4_000}] * 250
    for number in range(200):
        store.keep(message(number, embeds=large))
    left = [number for number in range(200) if store.find(str(number % 500), str(number))]
    assert left == list(range(left[0], 200))
    assert 0 < len(left) * 1_000_000 <= limits.MESSAGES_KEPT_BYTES


def test_message_that_shrinks_makes_room_again() -> None:
    store = MessageStore()
    for _ in range(300):
        store.keep(message(1, embeds=[{"description": "x" * 1_000_000}]))
    store.keep(message(1))
    store.keep(message(2))
    assert store.find("1", "1") is not None


def test_empty_files_are_bounded_in_number() -> None:
    files, empty = Files(Sequence()), [Upload("0", "a", b"")]
    count = limits.FILES_KEPT + 100
    ids = [files.keep(empty, None, "1", "http://x", NOW)[0]["id"] for _ in range(count)]
    assert [files.get(each) for each in (ids[0], ids[99], ids[100], ids[-1])] == [None, None, b"", b""]


def test_rate_limit_windows_are_bounded() -> None:
    limiter, bucket = RateLimiter(), Bucket("b", Quota(1, 900.0))
    for number in range(limits.WINDOWS_KEPT + 1):
        limiter.spend("a", bucket, str(number), NOW)
        limiter.spend_global(str(number), NOW)
    limiter.spend("a", bucket, "0", NOW)  # the oldest window is forgotten, and opens anew
    with pytest.raises(DiscordError):
        limiter.spend("a", bucket, str(limits.WINDOWS_KEPT), NOW)


def test_buckets_of_paths_that_a_client_makes_up_are_not_kept_forever() -> None:
    for number in range(10_000):
        bucket_of("GET", f"/made/up/{number}")
    assert bucket_of.cache_info().currsize <= 4_096


def test_addresses_are_bounded() -> None:
    addresses = Addresses()
    for number in range(limits.ADDRESSES_KEPT + 50):
        addresses.ban(str(number), 900.0, NOW)
    assert len(list(addresses)) == limits.ADDRESSES_KEPT
    assert addresses.banned_for_s("0", NOW) == 0
    assert addresses.banned_for_s(str(limits.ADDRESSES_KEPT), NOW) > 0


def test_applications_that_a_fault_has_met_are_bounded() -> None:
    entry = FaultBook().add(kinds.parse({"kind": "rest_error"}), 1, NOW)
    for number in range(limits.OCCASIONS_KEPT + 5):
        entry.hits_next(str(number))
    assert [entry.occasions(each) for each in ("0", str(limits.OCCASIONS_KEPT))] == [0, 1]


def test_interactions_are_bounded_in_bytes_and_in_follow_ups(
    discord: LocalDiscord, application: Application, channel: Channel
) -> None:
    act = Act(Kind.COMMAND, "ping", {"type": 1, "options": [{"value": "x" * 1_000_000}]})
    opened = [
        discord.interactions.open(application.id, application.bot, application.owner, channel, act, NOW).id
        for _ in range(200)
    ]
    kept = [each for each in opened if discord.interactions.find(each)]
    assert kept == opened[-len(kept) :]
    assert 0 < len(kept) <= limits.INTERACTIONS_KEPT_BYTES // 1_000_000
    last = discord.interactions.find(opened[-1])
    assert last is not None
    discord.interactions.respond(last.id, last.token, {"type": 4, "data": {"content": "x"}}, [], NOW)
    for _ in range(limits.FOLLOW_UPS_KEPT + 10):
        body = {"content": "x", "flags": 64}
        private, _ = discord.interactions.follow_up(application.id, last.token, body, [], NOW)
    assert len(last.message_ids) == limits.FOLLOW_UPS_KEPT
    assert discord.interactions.private_message(private["id"]) is not None


def test_full_world_takes_nobody_in_and_stays_whole(
    discord: LocalDiscord, guild: Guild, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERS_MAX", "MEMBERSHIPS_MAX", "GUILDS_MAX", "CHANNELS_MAX", "APPLICATIONS_MAX"):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, 0)
            with pytest.raises(WorldFullError):
                discord.world.register(f"app beyond {name}")
    ann = discord.world.new_person("ann", NOW)
    monkeypatch.setattr(limits, "USERS_MAX", len(discord.world.users))
    with pytest.raises(WorldFullError, match="users"):
        discord.world.new_person("bob", NOW)
    before = len(guild.members)
    discord.world.join(guild, ann, NOW)
    discord.world.leave(guild, ann.id)
    discord.world.leave(guild, ann.id)
    monkeypatch.setattr(limits, "MEMBERSHIPS_MAX", before + 1)
    discord.world.join(guild, ann, NOW)
    discord.world.leave(guild, ann.id)
    discord.world.join(guild, ann, NOW)
    assert len(guild.members) == before + 1


def test_private_channels_are_bounded_and_open_again_under_the_same_id(
    discord: LocalDiscord, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PRIVATE_CHANNELS_KEPT", 3)
    people = [discord.world.new_person(str(number), NOW) for number in range(5)]
    channels = [discord.world.dm(application, person) for person in people]
    assert [each.id in discord.world.channels for each in channels] == [False, False, True, True, True]
    assert discord.world.dm(application, people[0]).id == channels[0].id


def test_deleted_guild_leaves_nothing_behind(discord: LocalDiscord, application: Application) -> None:
    command = {"name": "ping", "description": "d"}
    guild = discord.world.new_guild("g", application.owner, NOW)
    channel = discord.world.new_channel(guild, "c", ChannelType.GUILD_TEXT, NOW)
    discord.world.join(guild, application.bot, NOW)
    application.commands.create(application.id, guild.id, command, discord.ids, NOW)
    changes.delete_guild(discord, guild)
    assert (len(application.commands), channel.id in discord.world.channels) == (0, False)


@pytest.mark.parametrize(("kind", "most", "code"), [("role", 250, 30005), ("channel", 500, 30013)])
def test_guild_holds_a_bounded_number(discord: LocalDiscord, guild: Guild, kind: str, most: int, code: int) -> None:
    def one_more() -> None:
        if kind == "role":
            discord.world.new_role(guild, "r", 0, NOW)
        else:
            discord.world.new_channel(guild, "c", ChannelType.GUILD_TEXT, NOW)

    for _ in range(most - len(guild.roles if kind == "role" else guild.channels)):
        one_more()
    with pytest.raises(DiscordError) as caught:
        one_more()
    assert caught.value.fault.code == code
