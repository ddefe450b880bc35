from typing import Any

import pytest

from sandbox.errors import DiscordError
from sandbox.messages.messages import Channels
from sandbox.snowflakes import Sequence
from sandbox.world.objects import User

NOW = 1_800_000_000.0
BOT = User("42", "bot", bot=True)


@pytest.fixture
def channels() -> Channels:
    return Channels(Sequence())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"content": "x" * 2001}, 50035),
        ({"content": 5}, 50035),
        ({"content": "x", "nonce": "n" * 26}, 50035),
        ({"content": "x", "flags": "many"}, 50035),
        ({"content": "x", "components": {}}, 50035),
        ({"embeds": [{"title": "t"}] * 11}, 50035),
        ({"embeds": ["x"]}, 50035),
        ({"embeds": [{"title": "x" * 257}]}, 50035),
        ({"embeds": [{"footer": "x"}]}, 50035),
        ({"embeds": [{"fields": [{"name": "n"}]}]}, 50035),
        ({"embeds": [{"description": "x" * 3001}] * 2}, 50035),
        ({"content": ""}, 50006),
        ({}, 50006),
    ],
)
def test_discord_refuses_a_bad_message(channels: Channels, body: dict[str, Any], code: int) -> None:
    with pytest.raises(DiscordError) as caught:
        channels.post("1", BOT, body, NOW)
    assert caught.value.fault.code == code
    assert channels.page("1", 50) == []


def test_message_with_an_embed_needs_no_content(channels: Channels) -> None:
    embed = {"title": "t", "fields": [{"name": "n", "value": "v"}], "footer": {"text": "f"}, "color": None}
    message, _ = channels.post("1", BOT, {"embeds": [embed]}, NOW)
    assert message["embeds"][0]["fields"] == [{"name": "n", "value": "v", "inline": False}]
    assert "color" not in message["embeds"][0]


def test_repeated_nonce_returns_the_first_message_when_enforced(channels: Channels) -> None:
    body = {"content": "hello", "nonce": "n1", "enforce_nonce": True}
    first, is_new = channels.post("1", BOT, body, NOW)
    again, is_new_again = channels.post("1", BOT, body, NOW + 60)
    assert (is_new, is_new_again, again) == (True, False, first)
    channels.prune(NOW + 60)
    assert not channels.post("1", BOT, body, NOW + 61)[1]
    channels.prune(NOW + 181)
    assert channels.post("1", BOT, body, NOW + 181)[1]


def test_repeated_nonce_posts_again_when_not_enforced(channels: Channels) -> None:
    body = {"content": "hello", "nonce": 7}
    assert [channels.post("1", BOT, body, NOW)[1] for _ in range(2)] == [True, True]


def test_edit_keeps_what_is_not_given(channels: Channels) -> None:
    message, _ = channels.post("1", BOT, {"content": "a", "embeds": [{"title": "t"}]}, NOW)
    edited = channels.edit("1", message["id"], BOT, {"content": None, "components": None}, NOW + 1)
    assert (edited["content"], edited["embeds"]) == ("", message["embeds"])
    assert channels.edit("1", message["id"], BOT, {"embeds": []}, NOW + 1)["embeds"] == []
    assert channels.get("1", message["id"])["edited_timestamp"] is not None


def test_message_of_another_author_cannot_be_edited(channels: Channels) -> None:
    message, _ = channels.post("1", BOT, {"content": "a"}, NOW)
    with pytest.raises(DiscordError) as caught:
        channels.edit("1", message["id"], User("43", "other"), {"content": "b"}, NOW)
    assert caught.value.fault.code == 50005


def test_deleted_message_is_unknown(channels: Channels) -> None:
    message, _ = channels.post("1", BOT, {"content": "a"}, NOW)
    channels.delete("1", message["id"])
    for channel_id in ("1", "2"):
        with pytest.raises(DiscordError) as caught:
            channels.get(channel_id, message["id"])
        assert caught.value.fault.code == 10008


def test_page_is_newest_first_and_bounded_by_ids(channels: Channels) -> None:
    ids = [int(channels.post("1", BOT, {"content": str(n)}, NOW + n)[0]["id"]) for n in range(5)]
    assert [int(row["id"]) for row in channels.page("1", 2)] == [ids[4], ids[3]]
    assert [int(row["id"]) for row in channels.page("1", 2, before=ids[3])] == [ids[2], ids[1]]
    assert [int(row["id"]) for row in channels.page("1", 2, after=ids[0])] == [ids[2], ids[1]]


def test_channel_forgets_its_oldest_message_after_a_thousand(channels: Channels) -> None:
    first, _ = channels.post("1", BOT, {"content": "first"}, NOW)
    for _ in range(1000):
        channels.post("1", BOT, {"content": "x"}, NOW)
    with pytest.raises(DiscordError, match="Unknown Message"):
        channels.get("1", first["id"])
