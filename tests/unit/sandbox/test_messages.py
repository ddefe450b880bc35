from typing import Any

import pytest

from sandbox import limits, posting
from sandbox.errors import DiscordError
from sandbox.local_discord import LocalDiscord
from sandbox.messages.attachments import Upload
from sandbox.messages.store import MessageStore
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, ChannelType, Guild
from sandbox.world.objects import Json
from tests.unit.sandbox.conftest import FakeClock, FakeSocket


@pytest.fixture
def post(discord: LocalDiscord, application: Application, channel: Channel) -> Any:
    def write(body: Json, *uploads: Upload) -> Json:
        return posting.post(discord, channel, application.bot.as_json(), body, list(uploads))

    return write


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"content": "x" * 2001}, 50035),
        ({"content": 5}, 50035),
        ({"content": "x", "nonce": "n" * 26}, 50035),
        ({"content": "x", "nonce": []}, 50035),
        ({"content": "x", "flags": "many"}, 50035),
        ({"content": "x", "components": {}}, 50035),
        ({"content": "x", "allowed_mentions": []}, 50035),
        ({"content": "x", "allowed_mentions": {"users": ["1"], "parse": ["users"]}}, 50035),
        ({"content": "x", "attachments": [{"filename": "a"}]}, 50035),
        ({"content": "x", "message_reference": {}}, 50035),
        ({"content": "x", "message_reference": {"channel_id": "1"}}, 50035),
        ({"content": "x", "message_reference": {"message_id": "1"}}, 50035),
        ({"content": "x", "message_reference": {"message_id": "1", "fail_if_not_exists": False}}, None),
        ({"embeds": [{"title": "t"}] * 11}, 50035),
        ({"embeds": ["x"]}, 50035),
        ({"embeds": [{"title": "x" * 257}]}, 50035),
        ({"embeds": [{"title": "x", "color": 1 << 24}]}, 50035),
        ({"embeds": [{"title": "x", "url": "ftp://a"}]}, 50035),
        ({"embeds": [{"image": {"url": "nothing"}}]}, 50035),
        ({"embeds": [{"footer": "x"}]}, 50035),
        ({"embeds": [{"fields": [{"name": "n"}]}]}, 50035),
        ({"embeds": [{"description": "x" * 3001}] * 2}, 50035),
        ({"flags": 1 << 15, "content": "x"}, 50035),
        ({"content": ""}, 50006),
        ({}, 50006),
    ],
)
def test_discord_refuses_a_bad_message(
    discord: LocalDiscord, channel: Channel, post: Any, body: Json, code: int | None
) -> None:
    if code is None:
        assert post(body)["content"] == "x"
        return
    with pytest.raises(DiscordError) as caught:
        post(body)
    assert caught.value.fault.code == code
    assert discord.messages.page(channel.id, 50) == []


def test_message_with_an_embed_needs_no_content(post: Any) -> None:
    embed = {"title": "t", "fields": [{"name": "n", "value": "v"}], "footer": {"text": "f"}, "color": None}
    message = post({"embeds": [embed]})
    assert message["embeds"][0]["fields"] == [{"name": "n", "value": "v", "inline": False}]
    assert "color" not in message["embeds"][0]


def test_repeated_nonce_returns_the_first_message_when_enforced(
    discord: LocalDiscord, post: Any, clock: FakeClock
) -> None:
    body = {"content": "hello", "nonce": "n1", "enforce_nonce": True}
    first = post(body)
    clock.now += 60
    discord.prune()
    assert post(body) == first
    clock.now += 121
    discord.prune()
    assert post(body)["id"] != first["id"]


def test_repeated_nonce_posts_again_when_not_enforced(post: Any) -> None:
    body = {"content": "hello", "nonce": 7}
    assert post(body)["id"] != post(body)["id"]


def test_edit_keeps_what_is_not_given(discord: LocalDiscord, channel: Channel, post: Any) -> None:
    message = post({"content": "a", "embeds": [{"title": "t"}]})
    edited = posting.edit(discord, channel, message, {"content": None, "components": None}, [])
    assert (edited["content"], edited["embeds"]) == ("", message["embeds"])
    assert posting.edit(discord, channel, edited, {"embeds": [], "flags": 4}, [])["flags"] == 4
    assert discord.messages.get(channel.id, message["id"])["edited_timestamp"] is not None


def test_reply_shows_what_it_replies_to(post: Any, channel: Channel) -> None:
    first = post({"content": "a"})
    reply = post({"content": "b", "message_reference": {"message_id": first["id"]}})
    assert (reply["type"], reply["referenced_message"]["content"]) == (19, "a")
    assert reply["message_reference"]["guild_id"] == channel.guild_id


def test_reply_mentions_whom_it_answers_unless_told_otherwise(post: Any) -> None:
    first = post({"content": "a"})
    body = {"content": "b", "message_reference": {"message_id": first["id"]}}
    assert post(body)["mentions"] == [first["author"]]
    assert post(body | {"content": f"<@{first['author']['id']}>"})["mentions"] == [first["author"]]
    assert post(body | {"allowed_mentions": {"parse": [], "replied_user": True}})["mentions"] == [first["author"]]
    assert post(body | {"allowed_mentions": {"parse": ["users"]}})["mentions"] == []


def test_mentions_are_those_that_are_allowed(discord: LocalDiscord, post: Any) -> None:
    ann = discord.world.person("7", "ann")
    text = f"<@{ann.id}> <@8> <@&9> @everyone"
    every = post({"content": text})
    assert [user["username"] for user in every["mentions"]] == ["ann"]
    assert (every["mention_roles"], every["mention_everyone"]) == (["9"], True)
    none = post({"content": text, "allowed_mentions": {"parse": []}})
    assert (none["mentions"], none["mention_roles"], none["mention_everyone"]) == ([], [], False)
    some = post({"content": text, "allowed_mentions": {"users": ["7"]}})
    assert len(some["mentions"]) == 1


def test_files_are_kept_linked_and_dropped_by_an_edit(discord: LocalDiscord, channel: Channel, post: Any) -> None:
    body = {
        "embeds": [{"title": "t", "image": {"url": "attachment://a_b.png"}}],
        "attachments": [{"id": 0, "description": "a picture"}],
    }
    message = post(body, Upload("0", "a b.png", b"png"), Upload("1", "log.txt", b"text"))
    picture, log = message["attachments"]
    assert (picture["filename"], picture["description"], picture["content_type"]) == (
        "a_b.png",
        "a picture",
        "image/png",
    )
    assert message["embeds"][0]["image"]["url"] == picture["url"]
    assert discord.files.get(log["id"]) == b"text"
    kept = posting.edit(discord, channel, message, {"attachments": [{"id": log["id"]}]}, [Upload("0", "c.txt", b"c")])
    assert [file["filename"] for file in kept["attachments"]] == ["log.txt", "c.txt"]


def test_file_that_is_too_large_is_refused(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ATTACHMENT_SIZE_BYTES", 2)
    with pytest.raises(DiscordError) as caught:
        post({}, Upload("0", "a.txt", b"abc"))
    assert caught.value.fault.code == 50035


def test_oldest_files_go_when_there_are_too_many_bytes(
    discord: LocalDiscord, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ATTACHMENTS_KEPT_BYTES", 5)
    first, second = (post({}, Upload("0", "a.txt", b"abc"))["attachments"][0] for _ in range(2))
    assert (discord.files.get(first["id"]), discord.files.get(second["id"])) == (None, b"abc")


def test_deleted_message_is_unknown_and_told(
    discord: LocalDiscord, channel: Channel, post: Any, socket: FakeSocket, token: str
) -> None:
    socket.identify(token, intents=1 << 9)
    message = post({"content": "a"})
    posting.delete(discord, channel, message["id"])
    assert socket.events[-2:] == ["MESSAGE_CREATE", "MESSAGE_DELETE"]
    for channel_id in (channel.id, "2"):
        with pytest.raises(DiscordError) as caught:
            discord.messages.get(channel_id, message["id"])
        assert caught.value.fault.code == 10008


def test_many_deleted_messages_are_one_event(
    discord: LocalDiscord, channel: Channel, post: Any, socket: FakeSocket, token: str
) -> None:
    socket.identify(token, intents=1 << 9)
    ids = [post({"content": "a"})["id"] for _ in range(2)]
    posting.delete_many(discord, channel, [*ids, "1"])
    assert socket.payloads[-1]["d"]["ids"] == ids


def test_category_takes_no_messages(discord: LocalDiscord, application: Application, guild: Guild) -> None:
    category = discord.world.new_channel(guild, "c", ChannelType.GUILD_CATEGORY, discord.clock())
    with pytest.raises(DiscordError) as caught:
        posting.post(discord, category, application.bot.as_json(), {"content": "x"}, [])
    assert caught.value.fault.code == 50008


def test_page_is_newest_first_and_bounded_by_ids(discord: LocalDiscord, channel: Channel, post: Any) -> None:
    ids = [int(post({"content": str(n)})["id"]) for n in range(5)]

    def page(**at: int) -> list[int]:
        return [ids.index(int(row["id"])) for row in discord.messages.page(channel.id, 2, **at)]

    assert page() == [4, 3]
    assert page(before=ids[3]) == [2, 1]
    assert page(after=ids[0]) == [2, 1]
    assert page(around=ids[2]) == [3, 2]


def test_channel_forgets_its_oldest_message_after_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MessageStore()
    for number in range(1001):
        store.keep({"id": str(number), "channel_id": "1"})
    assert store.find("1", "0") is None
    monkeypatch.setattr(limits, "MESSAGES_KEPT_IN_ALL", 1000)
    store.keep({"id": "x", "channel_id": "2"})
    assert (store.find("1", "1"), store.find("2", "x")) == (None, {"id": "x", "channel_id": "2"})
    store.drop_channel("1")
    assert store.page("1", 5) == []
