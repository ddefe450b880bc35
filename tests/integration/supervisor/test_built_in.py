"""The built-in commands of real workers, with the real supervisor and database; and how often commands are sent."""

from datetime import UTC, datetime
from typing import Any

import httpx

from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.db.stock import SqlStock
from flotilla.domain.bots import Desired
from flotilla.domain.stock import PAGE_ITEMS, StockItem
from tests.stack import Stack, until


class Users:
    """The users of one application."""

    def __init__(self, stack: Stack, application: dict[str, Any]) -> None:
        self.stack, self.application = stack, application
        self.path = f"/applications/{application['id']}"

    async def use(self, command: str, **body: Any) -> dict[str, Any]:
        return dict(await self.stack.sandbox("POST", f"{self.path}/interactions", command=command, **body))

    async def press(self, shown: dict[str, Any], label: str, **body: Any) -> dict[str, Any]:
        message = shown["message"]
        parts = [part for row in message["components"] for part in row["components"]]
        (ident,) = (part["custom_id"] for part in parts if part.get("label") == label)
        where = {"message_id": message["id"], "custom_id": ident, **body}
        return dict(await self.stack.sandbox("POST", f"{self.path}/components", **where))

    async def commands(self, without: str = "") -> list[str]:
        """Return the names of the commands that Discord has. without: what somebody else takes away first."""
        headers = {"Authorization": f"Bot {self.application['token']}"}
        url = f"{self.stack.sandbox_url}/api/v10{self.path}/commands"
        async with httpx.AsyncClient(headers=headers) as client:
            found = {command["name"]: command["id"] for command in (await client.get(url)).json()}
            if without:
                (await client.delete(f"{url}/{found.pop(without)}")).raise_for_status()
        return sorted(found)


async def test_buttons_outlive_a_reload_and_commands_are_sent_once_and_when_ordered(stack: Stack) -> None:
    application = await stack.sandbox("POST", "/applications", name="shop")
    bot_id = await stack.add_bot("shop", token=application["token"])
    for number in range(PAGE_ITEMS + 1):
        await SqlStock(stack.database).put(bot_id, StockItem(f"S{number}", f"Item {number}", number, datetime.now(UTC)))
    await stack.start_supervisor()
    await stack.all_ready(1)
    users = Users(stack, application)
    names = await users.commands()
    assert names == ["about", "config", "help", "ping", "reload", "status", "stock", "uptime"]

    # What somebody changes elsewhere stays so over any restart, for nothing is sent that was sent before.
    left = await users.commands(without="ping")
    browsed = await users.use("stock browse")
    assert "Item 0" in str(browsed["message"]["embeds"])
    status = await users.use("status", dm=True)
    assert "Generation: 1" in status["message"]["content"]
    assert "24 hours: 100.000 %" in (await users.use("uptime"))["message"]["content"]

    # What a server's staff set holds at once, and over the reload.
    await users.use("config set", options={"key": "off", "value": "about"})
    assert "switched off" in (await users.use("about"))["message"]["content"]
    assert "Flotilla" in (await users.use("about", dm=True))["message"]["content"]

    asked = await users.use("reload", dm=True)
    done = await users.press(asked, "Restart", dm=True)
    assert "restarts now" in done["message"]["content"]
    await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "the bot is READY again")
    assert "switched off" in (await users.use("about"))["message"]["content"]
    assert f"Item {PAGE_ITEMS}" in str((await users.press(browsed, "Next"))["message"]["embeds"])

    await stack.bots.want(bot_id, Desired.STOPPED)
    await stack.observed(bot_id, lambda s: s.state.value == "STOPPED", "the bot is stopped")
    await stack.bots.want(bot_id, Desired.RUNNING)
    await stack.observed(bot_id, lambda s: s.generation == 3 and s.ready, "the bot is READY")
    assert await users.commands() == left

    await stack.bots.sync_commands(bot_id)

    async def registered() -> bool:
        return await users.commands() == names

    await until(registered, "the commands are registered again")

    async def told() -> bool:
        page = await SqlHappenings(stack.database).page(HappeningFilter(code="commands_registered"), 50, None)
        return [view.happening.detail["commands"] for view in page.items] == [len(names)]

    await until(told, "it is written down")
