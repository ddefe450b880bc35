"""Reactions, pins and the permissions of commands over REST, with their events."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.sandbox.conftest import GatewayClient
from tests.contract.sandbox.test_guilds import Home, home

__all__ = ["home"]
GUILDS, REACTIONS, DM_REACTIONS = 1, 1 << 10, 1 << 13
THUMB, HEART = "👍", "❤️"


@pytest.fixture
async def message(home: Home) -> dict[str, Any]:
    await home.sandbox.control("POST", "/limits", {"routes": False})
    return dict((await home.rest("POST", f"/channels/{home.channel_id}/messages", {"content": "x"}))[1])


def path_of(message: dict[str, Any], emoji: str = "", whose: str = "") -> str:
    base = f"/channels/{message['channel_id']}/messages/{message['id']}/reactions"
    return base + (f"/{quote(emoji)}" if emoji else "") + (f"/{whose}" if whose else "")


async def connected(home: Home, intents: int) -> GatewayClient:
    client = await home.sandbox.gateway()
    await client.identify(home.token, intents)
    await client.event("GUILD_CREATE" if intents & GUILDS else "READY")
    return client


async def test_reactions_of_bot_and_user_are_seen_told_and_taken_away(home: Home, message: dict[str, Any]) -> None:
    client = await connected(home, GUILDS | REACTIONS)
    assert await home.rest("PUT", path_of(message, THUMB, "@me")) == (204, None)
    added = await client.event("MESSAGE_REACTION_ADD")
    assert (added["user_id"], added["emoji"], added["burst"]) == (home.id, {"id": None, "name": THUMB}, False)
    assert (added["message_author_id"], added["member"]["user"]["id"]) == (home.id, home.id)
    body = {"emoji": THUMB, "user": {"username": "ann"}}
    shown = await home.sandbox.control("POST", path_of(message), body)
    assert (shown["reactions"][0]["count"], shown["reactions"][0]["me"]) == (2, True)
    ann = (await client.event("MESSAGE_REACTION_ADD"))["user_id"]
    users = (await home.rest("GET", path_of(message, THUMB)))[1]
    assert [user["id"] for user in users] == sorted([home.id, ann], key=int)
    assert (await home.rest("GET", path_of(message, THUMB) + "?type=1")) == (200, [])
    await home.sandbox.control("DELETE", path_of(message), {"emoji": THUMB, "user": {"id": ann}})
    assert (await client.event("MESSAGE_REACTION_REMOVE"))["user_id"] == ann
    await home.sandbox.control("POST", path_of(message), {"emoji": THUMB, "user": {"id": ann}})
    assert await home.rest("DELETE", path_of(message, THUMB, ann)) == (204, None)
    assert await home.rest("DELETE", path_of(message, THUMB, "@me")) == (204, None)
    one = f"/channels/{home.channel_id}/messages/{message['id']}"
    assert "reactions" not in (await home.rest("GET", one))[1]
    assert (await home.rest("DELETE", path_of(message, THUMB, "@me")))[1]["code"] == 10014


async def test_all_reactions_or_those_with_one_emoji_are_taken_away(home: Home, message: dict[str, Any]) -> None:
    client = await connected(home, GUILDS | REACTIONS)
    for emoji in (THUMB, HEART):
        await home.rest("PUT", path_of(message, emoji, "@me"))
    assert await home.rest("DELETE", path_of(message, HEART)) == (204, None)
    assert (await client.event("MESSAGE_REACTION_REMOVE_EMOJI"))["emoji"]["name"] == HEART
    listed = (await home.rest("GET", f"/channels/{home.channel_id}/messages"))[1]
    assert [row["emoji"]["name"] for row in listed[0]["reactions"]] == [THUMB]
    assert await home.rest("DELETE", path_of(message)) == (204, None)
    assert (await client.event("MESSAGE_REACTION_REMOVE_ALL"))["message_id"] == message["id"]


async def test_edit_of_a_message_is_told_with_the_viewers_own_reactions(home: Home, message: dict[str, Any]) -> None:
    client = await connected(home, GUILDS | 1 << 9)
    await home.rest("PUT", path_of(message, THUMB, "@me"))
    await home.rest("PATCH", f"/channels/{home.channel_id}/messages/{message['id']}", {"content": "y"})
    assert (await client.event("MESSAGE_UPDATE"))["reactions"][0]["me"] is True


@pytest.mark.parametrize(
    ("denied", "emoji", "status"),
    [(1 << 6, THUMB, 204), (1 << 6, HEART, 403), (1 << 16, THUMB, 403)],
    ids=["known emoji needs no ADD_REACTIONS", "new emoji does", "history is needed"],
)
async def test_reacting_needs_permissions(
    home: Home, message: dict[str, Any], denied: int, emoji: str, status: int
) -> None:
    await home.sandbox.control("POST", path_of(message), {"emoji": THUMB})
    await home.deny(denied)
    assert (await home.rest("PUT", path_of(message, emoji, "@me")))[0] == status


async def test_reactions_of_others_need_manage_messages(home: Home, message: dict[str, Any]) -> None:
    await home.sandbox.control("POST", path_of(message), {"emoji": THUMB})
    await home.deny(1 << 13)
    for path in (path_of(message), path_of(message, THUMB), path_of(message, THUMB, home.owner_id)):
        assert (await home.rest("DELETE", path))[1]["code"] == 50013


@pytest.mark.parametrize(
    ("emoji", "code"), [("x", 10014), ("party:5", 10014)], ids=["no emoji", "emoji of no guild here"]
)
async def test_unknown_emoji_is_refused(home: Home, message: dict[str, Any], emoji: str, code: int) -> None:
    assert (await home.rest("PUT", path_of(message, emoji, "@me")))[1]["code"] == code


async def test_reacting_is_limited_to_one_in_a_quarter_of_a_second(home: Home, message: dict[str, Any]) -> None:
    await home.sandbox.control("POST", "/limits", {"routes": True})
    statuses = [(await home.rest("PUT", path_of(message, emoji, "@me")))[0] for emoji in (THUMB, HEART)]
    assert statuses == [204, 429]


async def test_reactions_in_private_reach_the_bot_by_their_own_intent(home: Home) -> None:
    await home.sandbox.control("POST", "/limits", {"routes": False})
    _, channel = await home.rest("POST", "/users/@me/channels", {"recipient_id": home.owner_id})
    _, private = await home.rest("POST", f"/channels/{channel['id']}/messages", {"content": "x"})
    client = await connected(home, DM_REACTIONS)
    await home.sandbox.control("POST", path_of(private), {"emoji": HEART})
    added = await client.event("MESSAGE_REACTION_ADD")
    assert (added["user_id"], "guild_id" in added, "member" in added) == (home.owner_id, False, False)
    assert (await home.rest("DELETE", path_of(private)))[1]["code"] == 50003


@pytest.mark.parametrize("base", ["/channels/{}/messages/pins", "/channels/{}/pins"])
async def test_messages_are_pinned_listed_and_unpinned(home: Home, message: dict[str, Any], base: str) -> None:
    client, base = await connected(home, GUILDS | 1 << 9), base.format(home.channel_id)
    assert await home.rest("PUT", f"{base}/{message['id']}") == (204, None)
    assert (await client.event("MESSAGE_UPDATE"))["pinned"] is True
    assert (await client.event("CHANNEL_PINS_UPDATE"))["last_pin_timestamp"]
    told = await client.event("MESSAGE_CREATE")
    assert (told["type"], told["message_reference"]["message_id"]) == (6, message["id"])
    listed = (await home.rest("GET", base))[1]
    rows = listed["items"] if isinstance(listed, dict) else listed
    assert [row.get("message", row)["id"] for row in rows] == [message["id"]]
    assert (await home.rest("GET", f"/channels/{home.channel_id}"))[1]["last_pin_timestamp"]
    assert (await home.rest("PUT", f"{base}/{told['id']}"))[1]["code"] == 50021
    change = f"/channels/{home.channel_id}/messages/{told['id']}"
    assert (await home.rest("PATCH", change, {"content": "y"}))[1]["code"] == 50021
    assert await home.rest("DELETE", f"{base}/{message['id']}") == (204, None)
    assert (await client.event("CHANNEL_PINS_UPDATE"))["last_pin_timestamp"] is None
    assert (await home.rest("GET", base))[1] in ([], {"items": [], "has_more": False})


async def test_pins_come_in_pages(home: Home, message: dict[str, Any]) -> None:
    base = f"/channels/{home.channel_id}/messages/pins"
    second = (await home.rest("POST", f"/channels/{home.channel_id}/messages", {"content": "y"}))[1]
    for each in (message, second):
        await home.rest("PUT", f"{base}/{each['id']}")
        await home.sandbox.control("POST", "/clock", {"advance_s": 1})
    _, page = await home.rest("GET", f"{base}?limit=1")
    assert ([row["message"]["id"] for row in page["items"]], page["has_more"]) == ([second["id"]], True)
    _, page = await home.rest("GET", f"{base}?before={quote(page['items'][0]['pinned_at'])}")
    assert ([row["message"]["id"] for row in page["items"]], page["has_more"]) == ([message["id"]], False)
    assert (await home.rest("GET", f"{base}?before=soon"))[1]["code"] == 50035


async def test_pinning_needs_its_own_permission(home: Home, message: dict[str, Any]) -> None:
    await home.deny(1 << 51)
    path = f"/channels/{home.channel_id}/messages/pins/{message['id']}"
    assert (await home.rest("PUT", path))[1]["code"] == 50013


async def test_deleted_message_takes_its_pin_and_reactions_along(home: Home, message: dict[str, Any]) -> None:
    await home.rest("PUT", path_of(message, THUMB, "@me"))
    await home.rest("PUT", f"/channels/{home.channel_id}/pins/{message['id']}")
    await home.rest("DELETE", f"/channels/{home.channel_id}/messages/{message['id']}")
    assert (await home.rest("GET", f"/channels/{home.channel_id}/pins"))[1] == []
    assert (await home.rest("GET", path_of(message, THUMB)))[1]["code"] == 10008


async def test_nobody_has_set_permissions_of_commands(home: Home) -> None:
    command = {"name": "ping", "description": "d"}
    _, own = await home.rest("POST", f"/applications/{home.id}/guilds/{home.guild_id}/commands", command)
    _, everywhere = await home.rest("POST", f"/applications/{home.id}/commands", command)
    base = f"/applications/{home.id}/guilds/{home.guild_id}/commands"
    assert await home.rest("GET", f"{base}/permissions") == (200, [])
    for command_id, code in ((own["id"], 10066), (everywhere["id"], 10066), ("1", 10063)):
        assert (await home.rest("GET", f"{base}/{command_id}/permissions"))[1]["code"] == code
