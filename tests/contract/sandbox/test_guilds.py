"""Guilds, channels, roles and members: what bots may do over REST, and what the control API makes."""

from typing import Any

import pytest

from tests.contract.sandbox.conftest import Sandbox

VIEW, SEND = 1 << 10, 1 << 11


class Home:
    """The home guild of a bot, as a test speaks of it."""

    def __init__(self, sandbox: Sandbox, token: str, state: dict[str, Any]) -> None:
        self.sandbox = sandbox
        self.token = token
        self.id = state["id"]
        self.guild_id = state["guild_id"]
        self.channel_id = state["channel_id"]
        self.owner_id = state["owner_id"]

    async def rest(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await self.sandbox.rest(method, path, self.token, body)

    async def member(self, name: str = "ann") -> str:
        body = {"user": {"username": name}}
        _, member = await self.sandbox.call("POST", f"/sandbox/guilds/{self.guild_id}/members", body)
        return str(member["user"]["id"])

    async def deny(self, permissions: int) -> None:
        """Take permissions in the channel from the bot."""
        guild = await self.sandbox.control("GET", f"/guilds/{self.guild_id}")
        role = next(role for role in guild["roles"] if role["name"] == "alpha")
        overwrites = [{"id": role["id"], "type": 0, "allow": 0, "deny": permissions}]
        await self.sandbox.control("PATCH", f"/channels/{self.channel_id}", {"overwrites": overwrites})


@pytest.fixture
async def home(sandbox: Sandbox) -> Home:
    application_id, token = await sandbox.application()
    return Home(sandbox, token, await sandbox.control("GET", f"/applications/{application_id}"))


async def test_channels_are_made_changed_and_deleted(home: Home) -> None:
    base = f"/guilds/{home.guild_id}/channels"
    _, category = await home.rest("POST", base, {"name": "Shop", "type": 4})
    status, channel = await home.rest("POST", base, {"name": "New Stock", "parent_id": category["id"], "topic": "t"})
    assert (status, channel["name"], channel["parent_id"]) == (201, "new-stock", category["id"])
    status, changed = await home.rest("PATCH", f"/channels/{channel['id']}", {"rate_limit_per_user": 5})
    assert (status, changed["rate_limit_per_user"], changed["topic"]) == (200, 5, "t")
    assert len((await home.rest("GET", base))[1]) == 3
    assert (await home.rest("DELETE", f"/channels/{channel['id']}"))[0] == 200
    assert (await home.rest("GET", f"/channels/{channel['id']}"))[1]["code"] == 10003


async def test_name_of_a_channel_can_be_changed_twice_in_ten_minutes(home: Home) -> None:
    path = f"/channels/{home.channel_id}"
    statuses = [(await home.rest("PATCH", path, {"name": f"n-{number}"}))[0] for number in range(3)]
    assert statuses == [200, 200, 429]
    await home.sandbox.control("POST", "/clock", {"advance_s": 601})
    assert (await home.rest("PATCH", path, {"name": "again"}))[0] == 200


async def test_channel_the_bot_may_not_view_is_missing_access(home: Home) -> None:
    await home.deny(VIEW)
    for method, path, body in (
        ("GET", f"/channels/{home.channel_id}", None),
        ("GET", f"/channels/{home.channel_id}/messages", None),
        ("POST", f"/channels/{home.channel_id}/messages", {"content": "x"}),
    ):
        assert await home.rest(method, path, body) == (403, {"message": "Missing Access", "code": 50001})
    assert (await home.rest("GET", f"/guilds/{home.guild_id}/channels"))[1] == []


@pytest.mark.parametrize(
    ("denied", "method", "path", "body"),
    [
        (SEND, "POST", "/channels/{channel}/messages", {"content": "x"}),
        (1 << 14, "POST", "/channels/{channel}/messages", {"embeds": [{"title": "t"}]}),
        (1 << 16, "GET", "/channels/{channel}/messages/1", None),
        (1 << 13, "DELETE", "/channels/{channel}/messages/{message}", None),
        (1 << 13, "POST", "/channels/{channel}/messages/bulk-delete", {"messages": ["1", "2"]}),
        (1 << 4, "PATCH", "/channels/{channel}", {"topic": "t"}),
        (1 << 4, "DELETE", "/channels/{channel}", None),
        (1 << 29, "POST", "/channels/{channel}/webhooks", {"name": "w"}),
        (1 << 28, "PUT", "/channels/{channel}/permissions/{guild}", {"type": 0, "deny": "1024"}),
    ],
)
async def test_what_the_channel_denies_is_missing_permissions(
    home: Home, denied: int, method: str, path: str, body: Any
) -> None:
    written = await home.sandbox.control("POST", f"/channels/{home.channel_id}/messages", {"content": "by a user"})
    await home.deny(denied)
    real = path.format(channel=home.channel_id, guild=home.guild_id, message=written["id"])
    assert await home.rest(method, real, body) == (403, {"message": "Missing Permissions", "code": 50013})


async def test_without_the_history_there_are_no_messages(home: Home) -> None:
    path = f"/channels/{home.channel_id}/messages"
    await home.rest("POST", path, {"content": "x"})
    await home.deny(1 << 16)
    assert await home.rest("GET", path) == (200, [])


async def test_overwrites_are_set_and_taken_away(home: Home) -> None:
    path = f"/channels/{home.channel_id}/permissions/{home.guild_id}"
    assert await home.rest("PUT", path, {"type": 0, "allow": "0", "deny": str(SEND)}) == (204, None)
    channel = (await home.rest("GET", f"/channels/{home.channel_id}"))[1]
    assert channel["permission_overwrites"] == [{"id": home.guild_id, "type": 0, "allow": "0", "deny": str(SEND)}]
    assert await home.rest("DELETE", path) == (204, None)
    assert (await home.rest("DELETE", path))[1]["code"] == 10009
    assert (await home.rest("PUT", path[:-1] + "1", {"type": 1}))[1]["code"] == 50035


async def test_roles_are_made_given_and_deleted(home: Home) -> None:
    base, ann = f"/guilds/{home.guild_id}/roles", await home.member()
    status, role = await home.rest("POST", base, {"name": "staff", "permissions": str(VIEW), "color": 255})
    assert (status, role["permissions"], role["color"]) == (200, str(VIEW), 255)
    one = f"{base}/{role['id']}"
    assert (await home.rest("PATCH", one, {"mentionable": True}))[1]["mentionable"] is True
    given = f"/guilds/{home.guild_id}/members/{ann}/roles/{role['id']}"
    assert (await home.rest("PUT", given))[0] == 204
    assert (await home.rest("GET", f"/guilds/{home.guild_id}/members/{ann}"))[1]["roles"] == [role["id"]]
    assert (await home.rest("DELETE", given))[0] == 204
    assert (await home.rest("GET", one))[0] == 200
    assert (await home.rest("DELETE", one))[0] == 204
    assert (await home.rest("GET", one))[1]["code"] == 10011
    assert [row["name"] for row in (await home.rest("GET", base))[1]] == ["@everyone", "alpha"]


async def test_bot_cannot_reach_above_its_own_role(home: Home) -> None:
    ann = await home.member()
    _, high = await home.sandbox.call("POST", f"/sandbox/guilds/{home.guild_id}/roles", {"name": "high"})
    base = f"/guilds/{home.guild_id}"
    own = next(row for row in (await home.rest("GET", f"{base}/roles"))[1] if row["name"] == "alpha")
    await home.sandbox.control("PATCH", f"/guilds/{home.guild_id}/members/{ann}", {"roles": [own["id"]]})
    for method, path, body in (
        ("POST", "/roles", {"name": "admin", "permissions": "8"}),
        ("PATCH", f"/roles/{own['id']}", {"name": "x"}),
        ("DELETE", f"/members/{ann}", None),
        ("PATCH", f"/members/{ann}", {"nick": "x"}),
        ("PUT", f"/bans/{home.owner_id}", {}),
        ("PUT", f"/members/{home.owner_id}/roles/{own['id']}", None),
    ):
        assert (await home.rest(method, base + path, body))[1] == {"message": "Missing Permissions", "code": 50013}
    assert (await home.rest("DELETE", f"{base}/roles/{high['id']}"))[0] == 204


async def test_members_are_listed_found_and_changed(home: Home) -> None:
    base, ann = f"/guilds/{home.guild_id}/members", await home.member()
    assert len((await home.rest("GET", base))[1]) == 1, "Discord's default is one"
    everyone = (await home.rest("GET", f"{base}?limit=1000"))[1]
    assert len(everyone) == 3
    assert len((await home.rest("GET", f"{base}?limit=9&after={everyone[0]['user']['id']}"))[1]) == 2
    assert [m["user"]["id"] for m in (await home.rest("GET", f"{base}/search?query=AN&limit=5"))[1]] == [ann]
    assert (await home.rest("GET", f"{base}/search"))[1]["code"] == 50035
    until = "2030-01-01T00:00:00+00:00"
    assert (await home.rest("PATCH", f"{base}/{ann}", {"communication_disabled_until": until}))[1]["code"] == 50035
    assert (await home.rest("PATCH", f"{base}/{ann}", {"communication_disabled_until": "soon"}))[1]["code"] == 50035
    assert (await home.rest("PATCH", f"{base}/{ann}", {"roles": ["1"]}))[1]["code"] == 50035
    assert (await home.rest("PATCH", f"{base}/{ann}", {"nick": "Annie", "roles": []}))[1]["nick"] == "Annie"
    assert (await home.rest("PATCH", f"{base}/@me", {"nick": "Bot"}))[1]["nick"] == "Bot"
    assert (await home.rest("DELETE", f"{base}/{ann}"))[0] == 204
    assert (await home.rest("GET", f"{base}/{ann}"))[1]["code"] == 10007


async def test_bans_come_and_go(home: Home) -> None:
    ann, base = await home.member(), f"/guilds/{home.guild_id}/bans"
    assert (await home.rest("PUT", f"{base}/{ann}", {}))[0] == 204
    assert (await home.rest("GET", f"{base}/{ann}"))[1]["user"]["id"] == ann
    assert len((await home.rest("GET", base))[1]) == 1
    assert (await home.rest("DELETE", f"{base}/{ann}"))[0] == 204
    assert (await home.rest("GET", f"{base}/{ann}"))[1]["code"] == 10026
    assert (await home.rest("PUT", f"{base}/1", {}))[1]["code"] == 10013


@pytest.mark.parametrize(
    ("query", "body", "left"),
    [
        ("", {}, ["old", "new"]),
        ("", {"delete_message_seconds": 0}, ["old", "new"]),
        ("", {"delete_message_seconds": 3_600}, ["old"]),
        ("?delete_message_seconds=3600", None, ["old"]),
        ("", {"delete_message_days": 7}, []),
    ],
)
async def test_ban_deletes_what_was_written_lately(home: Home, query: str, body: Any, left: list[str]) -> None:
    ann, messages = await home.member(), f"/channels/{home.channel_id}/messages"
    await home.sandbox.control("POST", messages, {"user": {"id": ann}, "content": "old"})
    await home.sandbox.control("POST", "/clock", {"advance_s": 86_400})
    await home.sandbox.control("POST", messages, {"user": {"id": ann}, "content": "new"})
    await home.rest("POST", messages, {"content": "by the bot"})
    assert (await home.rest("PUT", f"/guilds/{home.guild_id}/bans/{ann}{query}", body))[0] == 204
    there = [row["content"] for row in (await home.rest("GET", messages))[1]]
    assert there == ["by the bot", *reversed(left)]


async def test_ban_tells_of_the_messages_by_the_hundred(home: Home) -> None:
    ann, messages = await home.member(), f"/channels/{home.channel_id}/messages"
    for _ in range(101):
        await home.sandbox.control("POST", messages, {"user": {"id": ann}, "content": "spam"})
    client = await home.sandbox.gateway()
    await client.identify(home.token, 1 << 9)
    await client.event("READY")
    await home.rest("PUT", f"/guilds/{home.guild_id}/bans/{ann}", {"delete_message_seconds": 60})
    assert [len((await client.event("MESSAGE_DELETE_BULK"))["ids"]) for _ in range(2)] == [100, 1]


@pytest.mark.parametrize("seconds", ["soon", "-1", "604801", "9" * 5_000])
async def test_ban_with_a_wrong_time_bans_nobody(home: Home, seconds: str) -> None:
    path = f"/guilds/{home.guild_id}/bans/{await home.member()}"
    assert (await home.rest("PUT", f"{path}?delete_message_seconds={seconds}"))[1]["code"] == 50035
    assert (await home.rest("GET", path))[1]["code"] == 10026


async def test_guild_of_others_is_unknown_or_closed(home: Home) -> None:
    other, _ = await home.sandbox.application("beta")
    guild_id = (await home.sandbox.control("GET", f"/applications/{other}"))["guild_id"]
    assert (await home.rest("GET", f"/guilds/{guild_id}"))[1]["code"] == 10004
    assert (await home.rest("GET", f"/guilds/{guild_id}/roles"))[1]["code"] == 50001
    assert (await home.rest("GET", "/guilds/1/roles"))[1]["code"] == 10004


async def test_bot_joins_lists_and_leaves_guilds(home: Home) -> None:
    body = {"name": "Big", "members": 5, "applications": [home.id], "channels": ["a", "b"], "roles": ["r"], "count": 3}
    status, made = await home.sandbox.call("POST", "/sandbox/guilds", body)
    assert (status, [guild["members"] for guild in made["items"]]) == (201, [7, 7, 7])
    _, mine = await home.rest("GET", "/users/@me/guilds?with_counts=true")
    assert [guild["approximate_member_count"] for guild in mine].count(7) == 3
    leaving = made["items"][0]["id"]
    assert (await home.rest("DELETE", f"/users/@me/guilds/{leaving}"))[0] == 204
    assert (await home.rest("DELETE", f"/users/@me/guilds/{leaving}"))[1]["code"] == 10004
    assert len((await home.rest("GET", "/users/@me/guilds?limit=2"))[1]) == 2
    detailed = (await home.rest("GET", f"/guilds/{made['items'][1]['id']}?with_counts=true"))[1]
    assert detailed["approximate_member_count"] == 7


async def test_bot_renames_itself_and_describes_its_application(home: Home) -> None:
    assert (await home.rest("PATCH", "/users/@me", {"username": "omega"}))[1]["username"] == "omega"
    assert (await home.rest("PATCH", "/users/@me", {"username": "x"}))[1]["code"] == 50035
    assert (await home.rest("GET", f"/users/{home.owner_id}"))[1]["username"] == "sandbox-owner"
    assert (await home.rest("GET", "/users/1"))[1]["code"] == 10013
    assert (await home.rest("PATCH", "/applications/@me", {"description": "d"}))[1]["description"] == "d"
    assert (await home.rest("GET", f"/applications/{home.id}"))[1]["name"] == "omega"
    assert (await home.rest("GET", "/applications/1"))[1]["code"] == 20012


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/guilds", {"name": ""}, 422, "invalid_name"),
        ("POST", "/guilds", {"name": "g", "members": -1}, 422, "invalid_members"),
        ("POST", "/guilds", {"name": "g", "applications": ["1"]}, 404, "unknown_application"),
        ("GET", "/guilds/1", None, 404, "unknown_guild"),
        ("POST", "/guilds/{guild}/channels", {"name": "x", "type": "cinema"}, 422, "invalid_channel"),
        ("POST", "/guilds/{guild}/channels", {"name": "x", "overwrites": [{"id": "1"}]}, 422, "refused"),
        ("PATCH", "/channels/1", {"name": "x"}, 404, "unknown_channel"),
        ("POST", "/guilds/{guild}/members", {"roles": ["1"]}, 422, "unknown_role"),
        ("POST", "/guilds/{guild}/members", {"user": {"id": "{bot}"}}, 422, "invalid_user"),
        ("PATCH", "/guilds/{guild}/members/1", {}, 404, "unknown_member"),
        ("DELETE", "/guilds/{guild}/members/{owner}", None, 404, "unknown_member"),
        ("POST", "/guilds/{guild}/roles", {"name": "r", "permissions": -1}, 422, "invalid_permissions"),
        ("PATCH", "/guilds/{guild}/roles/1", {}, 404, "unknown_role"),
        ("DELETE", "/guilds/{guild}/roles/{guild}", None, 422, "invalid_role"),
        ("POST", "/users", {"username": " "}, 422, "invalid_name"),
        ("POST", "/clock", {"advance_s": -1}, 422, "invalid_advance"),
    ],
)
async def test_control_call_that_cannot_be_done_says_why(
    home: Home, method: str, path: str, body: Any, status: int, code: str
) -> None:
    names = {"guild": home.guild_id, "owner": home.owner_id}
    if body and body.get("user"):
        body = {"user": {"id": home.id}}
    got, answer = await home.sandbox.call(method, f"/sandbox{path.format(**names)}", body)
    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]


async def test_control_makes_and_removes_what_bots_see(home: Home) -> None:
    control = home.sandbox.call
    base = f"/sandbox/guilds/{home.guild_id}"
    _, channel = await control("POST", f"{base}/channels", {"name": "vip", "topic": "t"})
    assert (await home.rest("GET", f"/channels/{channel['id']}"))[1]["topic"] == "t"
    await control("PATCH", f"/sandbox/channels/{channel['id']}", {"name": "vip-2"})
    assert (await home.rest("GET", f"/channels/{channel['id']}"))[1]["name"] == "vip-2"
    await control("DELETE", f"/sandbox/channels/{channel['id']}")
    assert (await home.rest("GET", f"/channels/{channel['id']}"))[1]["code"] == 10003
    _, role = await control("POST", f"{base}/roles", {"name": "r", "permissions": 8})
    await control("PATCH", f"{base}/roles/{role['id']}", {"permissions": 0, "name": "s"})
    assert (await home.rest("GET", f"/guilds/{home.guild_id}/roles/{role['id']}"))[1]["name"] == "s"
    await control("DELETE", f"{base}/roles/{role['id']}")
    await control("PATCH", base, {"name": "Renamed"})
    assert (await home.rest("GET", f"/guilds/{home.guild_id}"))[1]["name"] == "Renamed"
    other, _ = await home.sandbox.application("beta")
    assert (await control("POST", f"{base}/members", {"application_id": other}))[0] == 201
    assert (await control("DELETE", f"{base}/members/{other}"))[0] == 200
    _, user = await control("POST", "/sandbox/users", {"username": "eve"})
    assert (await home.rest("GET", f"/users/{user['id']}"))[1]["username"] == "eve"
    assert [row["id"] for row in (await home.sandbox.control("GET", "/users?username=eve"))["items"]] == [user["id"]]
    await control("DELETE", base)
    assert (await home.rest("GET", "/users/@me/guilds"))[1] == []
    assert home.guild_id not in [guild["id"] for guild in (await home.sandbox.control("GET", "/guilds"))["items"]]
