"""The bots of examples/, on the sandbox with its users."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hikari
import pytest

from flotilla.domain.bots import Desired
from flotilla.domain.config import BotConfig
from tests.stack import Stack, until

EXAMPLES = Path(__file__).parents[3] / "examples"
Json = dict[str, Any]


class Scene:
    """One bot of the examples, with its home guild."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.bot_id = self.own = self.token = self.channel = ""
        self.guild: Json = {}
        self.people: dict[str, str] = {}

    async def make(self) -> None:
        """Make the application; its home guild is there at once."""
        made = await self.stack.sandbox("POST", "/applications", name="example")
        self.own, self.token = str(made["id"]), str(made["token"])
        (self.guild,) = (await self.stack.sandbox("GET", "/guilds"))["items"]
        self.channel = str(self.guild["channels"][0]["id"])

    async def up(self, **config: Any) -> None:
        """Run a bot of this config, and wait until it is READY."""
        self.bot_id = await self.stack.add_bot("example", token=self.token, config=BotConfig(**config))
        await self.stack.start_supervisor()
        await self.stack.all_ready(1)

    async def use(self, command: str, who: str | None = None, /, **options: Any) -> Json:
        return await self._act("interactions", who, command=command, options=options)

    async def press(self, message: Json, custom_id: str, user: str | None = None) -> Json:
        return await self._act("components", user, message_id=message["id"], custom_id=custom_id)

    async def submit(self, opened: Json, **fields: Any) -> Json:
        body = {"interaction_id": opened["interaction_id"], "fields": fields}
        return dict(await self.stack.sandbox("POST", f"/applications/{self.own}/modals", **body))

    async def _act(self, kind: str, user: str | None, **body: Any) -> Json:
        known = self.people.get(user or "")
        who = {"user": {"id": known} if known else {"username": user}} if user else {}
        return dict(await self.stack.sandbox("POST", f"/applications/{self.own}/{kind}", **body, **who))

    async def join(self, user: str, *roles: str) -> str:
        """Let a user join with roles; return the user's id."""
        body = {"user": {"username": user}, "roles": list(roles)}
        member = await self.stack.sandbox("POST", f"/guilds/{self.guild['id']}/members", **body)
        self.people[user] = str(member["user"]["id"])
        return self.people[user]

    async def role(self, name: str, permissions: hikari.Permissions) -> str:
        """Make a role; return its id."""
        body = {"name": name, "permissions": int(permissions)}
        return str((await self.stack.sandbox("POST", f"/guilds/{self.guild['id']}/roles", **body))["id"])

    async def messages(self, channel: str) -> list[str]:
        told = await self.stack.sandbox("GET", f"/channels/{channel}/messages")
        return [str(message["content"]) for message in told["items"]]

    async def original(self, used: Json) -> str:
        """Return the first response once it is no longer deferred."""

        async def said() -> str | None:
            now = await self.stack.sandbox("GET", f"/applications/{self.own}/interactions/{used['interaction_id']}")
            return str((now["message"] or {}).get("content") or "") or None

        found: str = await until(said, "there is an answer")
        return found

    async def restart(self, generation: int) -> None:
        await self.stack.bots.want(self.bot_id, Desired.RUNNING, again=True)
        await self.stack.observed(self.bot_id, lambda s: s.generation == generation and s.ready, "READY again")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    stack = await Stack.create(tmp_path / "h", poll_interval_s="0.1", stop_grace_s="3", extensions_path=str(EXAMPLES))
    try:
        await stack.start_sandbox()
        made = Scene(stack)
        await made.make()
        yield made
    finally:
        await stack.close()


def content(used: Json) -> str:
    return str((used["response"] or {}).get("data", {}).get("content"))


async def test_the_shop_never_sells_what_it_has_not_and_its_buttons_outlive_a_restart(scene: Scene) -> None:
    await scene.up(extensions=("shop.extension",))
    assert content(await scene.use("shop")) == "The shelves are empty."
    assert content(await scene.use("restock", good="tea", count=7, price=3)) == "There are 7 tea now."
    shop = await scene.use("shop")
    assert content(shop) == "**tea** · 3 coins · 7 left"
    pressed = await asyncio.gather(*(scene.press(shop["message"], "shop:buy:tea", f"buyer-{n}") for n in range(12)))
    assert {press["status"] for press in pressed} == {"answered"}
    told = Counter(content(press).partition("\n")[2].partition(" ")[2] or content(press) for press in pressed)
    assert told == {"There is no tea left.": 5, "bought tea for 3 coins.": 7}
    assert content(await scene.use("shop")) == "**tea** · 3 coins · none left"
    await scene.use("restock", good="tea", count=1, price=4)
    await scene.restart(2)
    again = await scene.press((await scene.use("shop"))["message"], "shop:buy:tea", "late")
    assert content(again) == "**tea** · 4 coins · none left\nlate bought tea for 4 coins."
    with sqlite3.connect(scene.stack.home / "bots" / scene.bot_id / "shop.sqlite") as file:
        assert file.execute("SELECT count(*), sum(price) FROM sales").fetchone() == (8, 25)
        assert file.execute("SELECT stock FROM goods").fetchone() == (0,)
    file.close()


async def test_the_moderator_asks_why_and_checks_who_may_be_it_over_a_restart(scene: Scene) -> None:
    made = await scene.stack.sandbox("POST", f"/guilds/{scene.guild['id']}/channels", name="log")
    log = str(made["id"])
    await scene.up(extensions=("moderation.extension",), settings={"moderation.extension": {"log_channel": log}})
    power = hikari.Permissions.MODERATE_MEMBERS | hikari.Permissions.MANAGE_MESSAGES
    higher = await scene.role("higher", power)
    lower = await scene.role("lower", power)
    mod, boss, rude = await scene.join("mod", lower), await scene.join("boss", higher), await scene.join("rude")

    assert content(await scene.use("warn", "mod", user=mod)) == "Not yourself."
    assert content(await scene.use("warn", "mod", user=scene.guild["owner_id"])) == "Not the owner."
    assert content(await scene.use("timeout", "mod", user=boss, minutes=5)) == "Their role is as high as yours."
    form = await scene.use("timeout", "mod", user=rude, minutes=5)
    assert form["response"]["type"] == 9
    await scene.restart(2)
    done = await scene.submit(form, reason="Shouting at people")
    assert (content(done), done["ephemeral"]) == (f"<@{rude}> was timed out for 5 min.", True)
    warned = await scene.submit(await scene.use("warn", "boss", user=rude), reason="Again shouting")
    assert content(warned) == f"<@{rude}> was warned."
    assert await told_in(scene, log) == [
        f"<@{mod}>: <@{rude}> was timed out for 5 min. Shouting at people",
        f"<@{boss}>: <@{rude}> was warned. Again shouting",
    ]
    for number in range(4):
        await scene.stack.sandbox("POST", f"/channels/{scene.channel}/messages", content=f"spam {number}")
    purged = await scene.use("purge", "mod", count=3)
    assert await scene.original(purged) == "Deleted 3 messages."
    assert await scene.messages(scene.channel) == ["spam 0"]
    assert (await told_in(scene, log))[-1] == f"<@{mod}> deleted 3 messages in <#{scene.channel}>."


async def told_in(scene: Scene, channel: str) -> list[str]:
    return sorted(await scene.messages(channel), key=lambda text: ("deleted" in text, "warned" in text))


async def test_the_bot_for_plain_hikari_rolls_by_command_by_button_and_when_it_is_spoken_to(scene: Scene) -> None:
    await scene.up(app="plain_hikari.bot:create_bot")
    used = await scene.use("roll", "ann", dice="2d6")
    assert content(used).startswith("2d6: ")
    await scene.restart(2)
    assert content(await scene.press(used["message"], "again:2d6", "bob")).startswith("2d6: ")
    assert content(await scene.use("roll", "ann", dice="many")) == "Dice are written like 2d6."
    said = {"content": f"<@{scene.own}> 1d1", "user": {"username": "ann"}}
    await scene.stack.sandbox("POST", f"/channels/{scene.channel}/messages", **said)

    async def answered() -> bool:
        return "1d1: 1 = 1" in await scene.messages(scene.channel)

    await until(answered, "the bot has answered")
