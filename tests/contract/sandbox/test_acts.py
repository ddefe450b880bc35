"""Users on demand: what they do through the control API, and what it reports of the bots' answers."""

import asyncio
from typing import Any

import pytest

from tests.contract.sandbox.conftest import GatewayClient, Sandbox

BUTTON = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
MENU = {"type": 5, "custom_id": "who", "max_values": 2}
ROWS = [{"type": 1, "components": [BUTTON]}, {"type": 1, "components": [MENU]}]
FIELD = {"type": 4, "custom_id": "name", "style": 1, "label": "Name"}
SEARCHED = {"type": 3, "name": "q", "description": "d", "autocomplete": True}
COMMANDS: list[dict[str, Any]] = [
    {"name": "ping", "description": "d"},
    {
        "name": "find",
        "description": "d",
        "options": [{"type": 3, "name": "q", "description": "d", "autocomplete": True}],
    },
    {"name": "show", "description": "d", "options": [{"type": 11, "name": "file", "description": "d"}]},
    {"name": "Report", "type": 3},
    {"name": "Who", "type": 2},
]


class Bot:
    """A bot that answers each interaction with the next of the bodies it was given."""

    def __init__(self, sandbox: Sandbox, application_id: str, token: str, client: GatewayClient) -> None:
        self.sandbox = sandbox
        self.id = application_id
        self.token = token
        self.client = client

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        event = await self.client.event("INTERACTION_CREATE")
        path = f"/interactions/{event['id']}/{event['token']}/callback"
        assert (await self.sandbox.rest("POST", path, None, body))[0] == 204
        return event

    async def use(self, call: str, body: dict[str, Any], answer: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return what the control call reports and what the bot saw."""
        path = f"/applications/{self.id}/{call}"
        report, event = await asyncio.gather(self.sandbox.control("POST", path, body), self.answer(answer))
        return report, event


@pytest.fixture
async def bot(sandbox: Sandbox) -> Bot:
    application_id, token = await sandbox.application()
    await sandbox.rest("PUT", f"/applications/{application_id}/commands", token, COMMANDS)
    client = await sandbox.gateway()
    await client.identify(token, intents=1 | (1 << 9) | (1 << 12) | (1 << 15))
    await client.event("READY")
    return Bot(sandbox, application_id, token, client)


async def test_command_reports_the_answer_and_its_time(bot: Bot) -> None:
    report, _ = await bot.use("interactions", {"command": "ping"}, {"type": 4, "data": {"content": "pong"}})
    assert (report["status"], report["message"]["content"], report["ephemeral"]) == ("answered", "pong", False)
    assert 0 < report["elapsed_ms"] < 3000
    again = await bot.sandbox.control("GET", f"/applications/{bot.id}/interactions/{report['interaction_id']}")
    assert again["message"] == report["message"]


async def test_interaction_that_is_answered_twice_is_counted(bot: Bot) -> None:
    _, event = await bot.use("interactions", {"command": "ping"}, {"type": 5})
    path = f"/interactions/{event['id']}/{event['token']}/callback"
    assert (await bot.sandbox.rest("POST", path, None, {"type": 5}))[1]["code"] == 40060
    assert (await bot.sandbox.control("GET", f"/applications/{bot.id}"))["answered_twice"] == 1


async def test_button_and_menu_are_used_by_strangers_who_join_first(bot: Bot) -> None:
    answer = {"type": 4, "data": {"content": "x", "components": ROWS}}
    report, _ = await bot.use("interactions", {"command": "ping"}, answer)
    message_id = report["message"]["id"]
    body = {"message_id": message_id, "custom_id": "go", "user": {"username": "eve"}}
    report, event = await bot.use("components", body, {"type": 7, "data": {"content": "pressed"}})
    assert (report["message"]["content"], event["member"]["user"]["username"]) == ("pressed", "eve")
    eve = event["member"]["user"]["id"]
    body = {"message_id": message_id, "custom_id": "who", "values": [eve]}
    report, event = await bot.use("components", body, {"type": 6})
    assert (report["status"], list(event["data"]["resolved"]["users"])) == ("deferred", [eve])


async def test_modal_is_opened_and_submitted(bot: Bot) -> None:
    modal = {"title": "t", "custom_id": "form", "components": [{"type": 1, "components": [FIELD]}]}
    opened, _ = await bot.use("interactions", {"command": "ping"}, {"type": 9, "data": modal})
    assert opened["response"]["data"]["title"] == "t"
    body = {"interaction_id": opened["interaction_id"], "fields": {"name": "Ann"}}
    report, event = await bot.use("modals", body, {"type": 4, "data": {"content": "thanks", "flags": 64}})
    assert event["data"]["components"][0]["components"][0]["value"] == "Ann"
    assert (report["kind"], report["ephemeral"]) == ("modal", True)


async def test_autocomplete_reports_the_choices(bot: Bot) -> None:
    choices = [{"name": "Apple", "value": "apple"}]
    body = {"command": "find", "focused": "q", "options": {"q": "a"}}
    report, event = await bot.use("autocomplete", body, {"type": 8, "data": {"choices": choices}})
    assert report["response"]["data"]["choices"] == choices
    assert event["data"]["options"][0]["focused"] is True


async def test_file_option_and_context_menus_resolve_what_they_name(bot: Bot) -> None:
    file = {"command": "show", "options": {"file": {"filename": "a.txt", "text": "hello"}}}
    _, event = await bot.use("interactions", file, {"type": 5})
    (attachment,) = event["data"]["resolved"]["attachments"].values()
    async with bot.sandbox.http.get(attachment["url"]) as response:
        assert await response.read() == b"hello"
    state = await bot.sandbox.control("GET", f"/applications/{bot.id}")
    written = await bot.sandbox.control("POST", f"/channels/{state['channel_id']}/messages", {"content": "bad"})
    on_message = {"command": "Report", "on": "message", "target_id": written["id"]}
    _, event = await bot.use("interactions", on_message, {"type": 5})
    assert event["data"]["resolved"]["messages"][written["id"]]["content"] == "bad"
    on_user = {"command": "Who", "on": "user", "target_id": state["owner_id"]}
    _, event = await bot.use("interactions", on_user, {"type": 5})
    assert event["data"]["target_id"] == state["owner_id"]


async def test_private_messages_and_commands_reach_the_bot(bot: Bot) -> None:
    written = await bot.sandbox.control("POST", f"/applications/{bot.id}/dm", {"content": "psst"})
    heard = await bot.client.event("MESSAGE_CREATE")
    assert (heard["id"], "guild_id" in heard) == (written["id"], False)
    report, event = await bot.use("interactions", {"command": "ping", "dm": True, "locale": "id"}, {"type": 5})
    assert (event["context"], event["locale"], report["status"]) == (1, "id", "deferred")


async def test_user_writes_replies_and_is_read(bot: Bot) -> None:
    state = await bot.sandbox.control("GET", f"/applications/{bot.id}")
    path = f"/channels/{state['channel_id']}/messages"
    first = await bot.sandbox.control("POST", path, {"content": "hello", "user": {"username": "ann"}})
    await bot.sandbox.control("POST", path, {"content": "again", "reply_to": first["id"]})
    heard = [await bot.client.event("MESSAGE_CREATE") for _ in range(2)]
    assert [event["content"] for event in heard] == ["hello", "again"]
    items = (await bot.sandbox.control("GET", path))["items"]
    assert [row["content"] for row in items] == ["again", "hello"]


@pytest.mark.parametrize(
    ("call", "body", "status", "code"),
    [
        ("interactions", {"command": "nothing"}, 404, "unknown_command"),
        ("interactions", {"command": "ping", "channel_id": "1"}, 404, "unknown_channel"),
        ("interactions", {"command": "ping", "on": "wall"}, 422, "invalid_target"),
        ("interactions", {"command": "Who", "on": "user", "target_id": "1"}, 404, "unknown_user"),
        ("interactions", {"command": "Report", "on": "message", "target_id": "1"}, 422, "bad_invocation"),
        ("interactions", {"command": "show", "options": {"file": "x"}}, 422, "bad_invocation"),
        ("autocomplete", {"command": "ping", "focused": "x"}, 422, "bad_invocation"),
        ("components", {"message_id": "1", "custom_id": "x"}, 422, "bad_invocation"),
        ("modals", {"interaction_id": "1"}, 404, "unknown_interaction"),
        ("dm", {"content": "x" * 2001}, 422, "refused"),
        ("dm", {"content": "x", "user": {"id": "x"}}, 422, "invalid_user"),
    ],
)
async def test_act_that_cannot_be_says_what_can(
    bot: Bot, call: str, body: dict[str, Any], status: int, code: str
) -> None:
    got, answer = await bot.sandbox.call("POST", f"/sandbox/applications/{bot.id}/{call}", body)
    assert (got, answer["error"]["code"]) == (status, code)


async def test_component_of_another_bots_message_is_refused(bot: Bot) -> None:
    state = await bot.sandbox.control("GET", f"/applications/{bot.id}")
    written = await bot.sandbox.control("POST", f"/channels/{state['channel_id']}/messages", {"content": "x"})
    body = {"message_id": written["id"], "custom_id": "x"}
    got, answer = await bot.sandbox.call("POST", f"/sandbox/applications/{bot.id}/components", body)
    assert (got, "is not of application" in answer["error"]["message"]) == (422, True)
