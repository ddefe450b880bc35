"""Messages, files and webhooks over REST."""

from typing import Any

import aiohttp
import pytest

from tests.contract.sandbox.conftest import Sandbox
from tests.contract.sandbox.test_guilds import Home, home

__all__ = ["home"]


def form(payload: str, *files: tuple[str, bytes]) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("payload_json", payload, content_type="application/json")
    for index, (name, content) in enumerate(files):
        data.add_field(f"files[{index}]", content, filename=name, content_type="application/octet-stream")
    return data


async def upload(sandbox: Sandbox, method: str, url: str, token: str | None, data: aiohttp.FormData) -> Any:
    headers = {"Authorization": f"Bot {token}"} if token else {}
    async with sandbox.http.request(method, f"{sandbox.url}/api/v10{url}", data=data, headers=headers) as response:
        return response.status, await response.json()


async def test_messages_are_posted_read_changed_and_deleted(home: Home) -> None:
    base = f"/channels/{home.channel_id}/messages"
    status, first = await home.rest("POST", base, {"content": "a", "nonce": "n", "enforce_nonce": True})
    assert (status, first["content"]) == (200, "a")
    assert (await home.rest("POST", base, {"content": "b", "nonce": "n", "enforce_nonce": True}))[1] == first
    _, reply = await home.rest("POST", base, {"content": "r", "message_reference": {"message_id": first["id"]}})
    assert reply["referenced_message"]["id"] == first["id"]
    assert (await home.rest("PATCH", f"{base}/{first['id']}", {"content": "c"}))[1]["content"] == "c"
    assert [row["content"] for row in (await home.rest("GET", f"{base}?around={first['id']}"))[1]] == ["r", "c"]
    assert (await home.rest("GET", f"{base}/{first['id']}"))[1]["edited_timestamp"]
    assert (await home.rest("DELETE", f"{base}/{first['id']}"))[0] == 204
    assert (await home.rest("GET", f"{base}/{first['id']}"))[1]["code"] == 10008
    assert (await home.rest("POST", f"/channels/{home.channel_id}/typing"))[0] == 204


async def test_message_with_components_is_answered_as_discord_does(home: Home) -> None:
    button = {"type": 2, "style": 1, "label": "Go", "custom_id": "go", "emoji": {"name": "🚀"}}
    menu = {"type": 3, "custom_id": "m", "options": [{"label": "A", "value": "a", "emoji": {"id": "5", "name": "x"}}]}
    rows = [{"type": 1, "components": [button]}, {"type": 1, "components": [menu]}]
    base = f"/channels/{home.channel_id}/messages"
    status, message = await home.rest("POST", base, {"components": rows})
    assert (status, message["components"][0]["components"][0]["id"]) == (200, 2)
    section = {"type": 9, "components": [{"type": 10, "content": "t"}], "accessory": {**button, "custom_id": "x"}}
    gallery = {"type": 12, "items": [{"media": {"url": "https://example.com/a.png"}}]}
    container = {"type": 17, "components": [section, {"type": 14}, gallery]}
    status, message = await home.rest("POST", base, {"flags": 1 << 15, "components": [container]})
    assert (status, message["flags"]) == (200, 1 << 15)
    assert (await home.rest("PATCH", f"{base}/{message['id']}", {"content": "x"}))[1]["code"] == 50035


async def test_files_are_uploaded_downloaded_and_replaced(home: Home) -> None:
    sandbox, base = home.sandbox, f"/channels/{home.channel_id}/messages"
    payload = '{"content": "see", "attachments": [{"id": "0", "description": "d"}]}'
    status, message = await upload(sandbox, "POST", base, home.token, form(payload, ("a.txt", b"hello")))
    (file,) = message["attachments"]
    assert (status, file["filename"], file["size"], file["description"]) == (200, "a.txt", 5, "d")
    async with sandbox.http.get(file["url"]) as response:
        assert (await response.read(), response.content_type) == (b"hello", "text/plain")
    url, more = f"{base}/{message['id']}", form('{"attachments": []}', ("b.bin", b"x"))
    _, changed = await upload(sandbox, "PATCH", url, home.token, more)
    assert [row["filename"] for row in changed["attachments"]] == ["b.bin"]
    async with sandbox.http.get(file["url"].replace(file["id"], "1")) as response:
        assert response.status == 404


async def test_form_without_a_message_is_refused(home: Home) -> None:
    base = f"/channels/{home.channel_id}/messages"
    for payload in ("[]", "{", "{}"):
        status, _ = await upload(home.sandbox, "POST", base, home.token, form(payload))
        assert status == 400


async def test_bulk_delete_takes_two_to_a_hundred_young_messages(home: Home) -> None:
    base = f"/channels/{home.channel_id}/messages"
    ids = [(await home.rest("POST", base, {"content": "x"}))[1]["id"] for _ in range(3)]
    purge = f"{base}/bulk-delete"
    assert (await home.rest("POST", purge, {"messages": ids[:1]}))[1]["code"] == 50016
    assert (await home.rest("POST", purge, {"messages": ["x", "y"]}))[1]["code"] == 50035
    assert await home.rest("POST", purge, {"messages": ids[:2]}) == (204, None)
    assert [row["id"] for row in (await home.rest("GET", base))[1]] == ids[2:]
    await home.sandbox.control("POST", "/clock", {"advance_s": 15 * 86_400})
    assert (await home.rest("POST", purge, {"messages": ids[1:]}))[1]["code"] == 50034


async def test_message_of_a_user_cannot_be_edited_and_can_be_deleted(home: Home) -> None:
    written = await home.sandbox.control("POST", f"/channels/{home.channel_id}/messages", {"content": "by a user"})
    path = f"/channels/{home.channel_id}/messages/{written['id']}"
    assert (await home.rest("PATCH", path, {"content": "x"}))[1]["code"] == 50005
    assert (await home.rest("DELETE", path))[0] == 204


async def test_old_message_can_be_edited_only_a_few_times(home: Home) -> None:
    base = f"/channels/{home.channel_id}/messages"
    message = (await home.rest("POST", base, {"content": "x"}))[1]
    await home.sandbox.control("POST", "/clock", {"advance_s": 3700})
    answers = [await home.rest("PATCH", f"{base}/{message['id']}", {"content": str(n)}) for n in range(4)]
    assert [status for status, _ in answers] == [200, 200, 200, 429]
    assert answers[-1][1]["code"] == 30046


async def test_private_channel_is_opened_once_and_written_to(home: Home) -> None:
    status, channel = await home.rest("POST", "/users/@me/channels", {"recipient_id": home.owner_id})
    assert (status, channel["recipients"][0]["id"]) == (200, home.owner_id)
    assert (await home.rest("POST", "/users/@me/channels", {"recipient_id": home.owner_id}))[1] == channel
    base = f"/channels/{channel['id']}"
    assert (await home.rest("POST", f"{base}/messages", {"content": "hi"}))[0] == 200
    assert (await home.rest("GET", base))[1]["type"] == 1
    assert (await home.rest("DELETE", base))[1]["code"] == 50003
    assert (await home.rest("POST", f"{base}/messages/bulk-delete", {"messages": ["1", "2"]}))[1]["code"] == 50003
    for recipient, code in (("1", 10013), (home.id, 50007), ("x", 50035), (None, 50035)):
        assert (await home.rest("POST", "/users/@me/channels", {"recipient_id": recipient}))[1]["code"] == code
    other, token = await home.sandbox.application("beta")
    assert other
    assert (await home.sandbox.rest("GET", base, token))[1]["code"] == 50001


async def test_webhook_posts_edits_and_deletes_by_its_token_alone(home: Home) -> None:
    status, hook = await home.rest("POST", f"/channels/{home.channel_id}/webhooks", {"name": "News"})
    assert (status, hook["application_id"]) == (200, home.id)
    by_token, sandbox = f"/webhooks/{hook['id']}/{hook['token']}", home.sandbox
    assert hook["url"].endswith(by_token)
    assert await sandbox.rest("POST", by_token, None, {"content": "silent"}) == (204, None)
    _, message = await sandbox.rest("POST", f"{by_token}?wait=1", None, {"content": "a", "username": "Reporter"})
    assert (message["author"]["username"], message["webhook_id"]) == ("Reporter", hook["id"])
    one = f"{by_token}/messages/{message['id']}"
    assert (await sandbox.rest("PATCH", one, None, {"content": "b"}))[1]["content"] == "b"
    assert (await sandbox.rest("GET", one))[1]["content"] == "b"
    assert (await sandbox.rest("DELETE", one))[0] == 204
    assert (await sandbox.rest("GET", one))[1]["code"] == 10008
    own = (await home.rest("POST", f"/channels/{home.channel_id}/messages", {"content": "not the webhook's"}))[1]
    assert (await sandbox.rest("GET", f"{by_token}/messages/{own['id']}"))[1]["code"] == 10008


async def test_webhook_is_read_renamed_and_deleted(home: Home) -> None:
    _, hook = await home.rest("POST", f"/channels/{home.channel_id}/webhooks", {"name": "News"})
    by_id, by_token = f"/webhooks/{hook['id']}", f"/webhooks/{hook['id']}/{hook['token']}"
    for path in (f"/channels/{home.channel_id}/webhooks", f"/guilds/{home.guild_id}/webhooks"):
        assert [row["id"] for row in (await home.rest("GET", path))[1]] == [hook["id"]]
    assert (await home.rest("PATCH", by_id, {"name": "Olds"}))[1]["name"] == "Olds"
    assert "user" in (await home.rest("GET", by_id))[1]
    assert "user" not in (await home.sandbox.rest("GET", by_token))[1]
    assert (await home.sandbox.rest("PATCH", by_token, None, {"name": "Mids"}))[1]["name"] == "Mids"
    wrong = await home.sandbox.rest("POST", f"/webhooks/{hook['id']}/wrong", None, {"content": "x"})
    assert (wrong[0], wrong[1]["code"]) == (401, 50027)
    assert (await home.sandbox.rest("DELETE", by_token))[0] == 204
    assert (await home.sandbox.rest("POST", by_token, None, {"content": "x"}))[1]["code"] == 10015
    _, again = await home.rest("POST", f"/channels/{home.channel_id}/webhooks", {"name": "News"})
    assert (await home.rest("DELETE", f"/webhooks/{again['id']}"))[0] == 204


async def test_channel_has_at_most_fifteen_webhooks(home: Home) -> None:
    await home.sandbox.control("POST", "/limits", {"routes": False})
    path = f"/channels/{home.channel_id}/webhooks"
    statuses = [(await home.rest("POST", path, {"name": "w"}))[0] for _ in range(16)]
    assert statuses == [200] * 15 + [400]
    assert (await home.rest("POST", path, {}))[1]["code"] == 50035


async def test_multipart_answers_to_interactions_carry_files(home: Home) -> None:
    sandbox = home.sandbox
    await home.rest("PUT", f"/applications/{home.id}/commands", [{"name": "ping", "description": "d"}])
    client = await sandbox.gateway()
    await client.identify(home.token)
    await client.event("READY")
    await sandbox.control("POST", f"/applications/{home.id}/interactions", {"command": "ping", "wait_ms": 0})
    event = await client.event("INTERACTION_CREATE")
    callback = f"/interactions/{event['id']}/{event['token']}/callback?with_response=true"
    data = form('{"type": 4, "data": {"content": "x"}}', ("a.txt", b"hello"))
    status, result = await upload(sandbox, "POST", callback, None, data)
    assert (status, result["resource"]["message"]["attachments"][0]["filename"]) == (200, "a.txt")
    follow_up = f"/webhooks/{home.id}/{event['token']}"
    status, message = await upload(sandbox, "POST", follow_up, None, form("{}", ("b.txt", b"b")))
    assert (status, message["message_reference"]["message_id"]) == (200, result["resource"]["message"]["id"])


@pytest.mark.parametrize(("path", "status"), [("/api/v10/users/@me", 401), ("/api/v11/users/@me", 400)])
async def test_answers_come_through_discords_edge(sandbox: Sandbox, path: str, status: int) -> None:
    async with sandbox.http.get(sandbox.url + path) as response:
        assert (response.status, response.headers["Via"]) == (status, "1.1 google")
