"""What bots do for users all day, with discord.py and discord.js, and one bot of each library for the whole module."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from sandbox.local_discord import Rules
from sandbox.world.permissions import EVERYTHING_BUT_ADMINISTRATOR, Permission
from tests.judges.description import Description
from tests.judges.stage import Stage, alone
from tests.judges.stranger import LIBRARIES

pytestmark = pytest.mark.asyncio(loop_scope="module")

MISSING_ACCESS, MISSING_PERMISSIONS = 50001, 50013


@pytest_asyncio.fixture(params=LIBRARIES, scope="module", loop_scope="module")
async def shared(request: pytest.FixtureRequest, discords_description: Description | None) -> AsyncIterator[Stage]:
    async with alone(discords_description, request.param, Rules(identify_interval_s=0), intents="all") as stage:
        await stage.bot.do("sync")
        yield stage


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    shared.bot.forget()
    yield shared
    shared.check()


async def panel(stage: Stage) -> dict[str, Any]:
    message: dict[str, Any] = (await stage.use("panel"))["message"]
    return message


async def test_button_is_answered_by_a_change_of_its_message(stage: Stage) -> None:
    shown = await panel(stage)
    pressed = await stage.component(shown, "press")
    assert (pressed["status"], pressed["message"]["id"]) == ("answered", shown["id"])
    assert pressed["message"]["content"] == "pressed"
    slow = await stage.component(shown, "slow")
    assert slow["status"] == "deferred"
    assert (await stage.bot.event("original"))["id"] == shown["id"]
    assert (await stage.read(stage.channel_id))[0]["content"] == "took its time"


async def test_menus_of_words_and_of_users_give_what_was_picked(stage: Stage) -> None:
    shown = await panel(stage)
    chosen = await stage.component(shown, "choose", values=["apricot", "banana"], user={"username": "ann"})
    assert (chosen["message"]["content"], chosen["ephemeral"]) == ("chosen: apricot, banana", True)
    cat = (await stage.control("POST", f"/guilds/{stage.guild_id}/members", {"user": {"username": "cat"}}))["user"]
    picked = await stage.component(shown, "pick", values=[cat["id"], stage.application_id])
    assert sorted(picked["message"]["content"].removeprefix("picked: ").split(", ")) == ["alpha", "cat"]


async def test_form_opened_by_a_command_or_a_button_is_answered(stage: Stage) -> None:
    opened = await stage.use("ask")
    assert opened["response"]["data"]["title"] == "Question"
    submission = {"interaction_id": opened["interaction_id"], "fields": {"answer": "yes"}}
    assert (await stage.order("modals", submission))["message"]["content"] == "answered: yes"
    shown = await panel(stage)
    opened = await stage.component(shown, "form")
    submission = {"interaction_id": opened["interaction_id"], "fields": {"answer": "no"}}
    message = (await stage.order("modals", submission))["message"]
    assert (message["id"], message["content"]) == (shown["id"], "answered: no")


async def test_option_is_completed_while_it_is_typed(stage: Stage) -> None:
    typing = {"command": "find", "focused": "word", "options": {"word": "ap"}}
    choices = (await stage.order("autocomplete", typing))["response"]["data"]["choices"]
    assert [choice["value"] for choice in choices] == ["apple", "apricot"]
    assert (await stage.use("find", word="apple"))["message"]["content"] == "found: apple"


async def test_context_menus_tell_whom_and_what_they_are_used_on(stage: Stage) -> None:
    on_user = {"command": "Greet", "on": "user", "target_id": stage.owner_id}
    owner = (await stage.rest(f"/users/{stage.owner_id}"))["username"]
    assert (await stage.order("interactions", on_user))["message"]["content"] == f"hello {owner}"
    written = await stage.write(stage.channel_id, "so be it", user={"username": "eve"})
    on_message = {"command": "Quote", "on": "message", "target_id": written["id"]}
    assert (await stage.order("interactions", on_message))["message"]["content"] == "eve: so be it"


async def test_files_go_both_ways_and_are_taken_away(stage: Stage) -> None:
    file = {"filename": "a.txt", "size": 5}
    sent = await stage.bot.do("attach", channel_id=stage.channel_id, filename="a.txt", text="hello")
    assert sent["attachments"] == [file]
    away = await stage.bot.do("detach", channel_id=stage.channel_id, message_id=sent["id"])
    assert (away["content"], away["attachments"]) == ("gone", [])
    used = await stage.use("upload", file={"filename": "b.txt", "text": "12345678"}, away=True)
    uploaded = await stage.bot.event("uploaded")
    assert (uploaded["content"], uploaded["attachments"]) == ("b.txt, 8 bytes", [{"filename": "b.txt", "size": 8}])
    assert (await stage.bot.event("gone"))["attachments"] == []
    message = (await stage.outcome(used))["message"]
    assert (message["content"], message["attachments"]) == ("gone", [])


async def test_private_message_is_read_and_answered(stage: Stage) -> None:
    written = await stage.order("dm", {"content": "psst", "user": {"username": "dora"}})
    answered = await stage.bot.event("message", content="you said: psst")
    assert (answered["reference"], answered["mentions"]) == (written["id"], [written["author"]["id"]])
    assert [message["content"] for message in await stage.read(written["channel_id"])] == ["you said: psst", "psst"]


async def test_replies_mention_whom_they_answer(stage: Stage) -> None:
    written = await stage.write(stage.channel_id, "anyone here?", user={"username": "fay"})
    assert (await stage.bot.event("message", author="fay"))["content"] == "anyone here?"
    reply = await stage.bot.do("reply", channel_id=stage.channel_id, message_id=written["id"], content="I am")
    assert (reply["reference"], reply["mentions"]) == (written["id"], [written["author"]["id"]])
    await stage.write(stage.channel_id, "good", user={"id": written["author"]["id"]}, reply_to=reply["id"])
    heard = await stage.bot.event("message", content="good")
    assert (heard["reference"], heard["mentions"]) == (reply["id"], [stage.application_id])


async def test_webhook_is_made_used_and_deleted(stage: Stage) -> None:
    listed, sent, edited, fetched, renamed, left = await stage.bot.do("webhook", channel_id=stage.channel_id)
    assert (listed, sent["author"], sent["content"]) == (["news"], "paper", "extra")
    assert (edited, fetched, renamed, left) == ("extra, extra", "extra, extra", "old news", [])
    heard = await stage.bot.event("message", id=sent["id"])
    assert (heard["author"], heard["content"]) == ("paper", "extra")
    assert all(message["id"] != sent["id"] for message in await stage.read(stage.channel_id))


async def test_many_messages_are_deleted_at_once(stage: Stage) -> None:
    written = [await stage.write(stage.channel_id, f"spam {number}") for number in range(3)]
    ids = sorted(message["id"] for message in written)
    await stage.bot.event("message", id=ids[-1])
    await stage.bot.do("delete_many", channel_id=stage.channel_id, message_ids=ids)
    assert (await stage.bot.event("deleted"))["ids"] == ids


async def join(stage: Stage, username: str) -> str:
    member = await stage.control("POST", f"/guilds/{stage.guild_id}/members", {"user": {"username": username}})
    await stage.bot.event("member_joined", name=username)
    return str(member["user"]["id"])


async def moderate(stage: Stage, action: str, member: str, **more: Any) -> str:
    return str((await stage.use("moderate", action=action, member=member, **more))["message"]["content"])


async def test_command_of_a_moderator_reaches_the_member(stage: Stage) -> None:
    gus = await join(stage, "gus")
    role = (await stage.control("POST", f"/guilds/{stage.guild_id}/roles", {"name": "tidy"}))["id"]
    path = f"/guilds/{stage.guild_id}/members/{gus}"
    assert await moderate(stage, "give", gus, role=role) == "give: done"
    assert (await stage.bot.event("member_changed", name="gus", roles=[role]))["timed_out"] is False
    assert (await stage.rest(path))["roles"] == [role]
    assert await moderate(stage, "take", gus, role=role) == "take: done"
    await stage.bot.event("member_changed", name="gus", roles=[])
    assert await moderate(stage, "timeout", gus) == "timeout: done"
    await stage.bot.event("member_changed", name="gus", timed_out=True)
    assert await moderate(stage, "kick", gus) == "kick: done"
    await stage.bot.event("member_left", name="gus")
    assert await stage.rest(path) == 10007
    ike = await join(stage, "ike")
    assert await moderate(stage, "ban", ike) == "ban: done"
    await stage.bot.event("banned", name="ike")
    bans = f"/guilds/{stage.guild_id}/bans"
    assert [ban["user"]["id"] for ban in await stage.rest(bans)] == [ike]
    assert await moderate(stage, "unban", ike) == "unban: done"
    assert await stage.rest(bans) == []


async def test_bot_without_the_permission_gets_its_librarys_error(stage: Stage) -> None:
    jo = await join(stage, "jo")
    assert await moderate(stage, "kick", stage.owner_id) == f"kick: Forbidden {MISSING_PERMISSIONS}"
    await stage.grant(EVERYTHING_BUT_ADMINISTRATOR & ~(Permission.KICK_MEMBERS | Permission.MODERATE_MEMBERS))
    assert await moderate(stage, "kick", jo) == f"kick: Forbidden {MISSING_PERMISSIONS}"
    assert await moderate(stage, "timeout", jo) == f"timeout: Forbidden {MISSING_PERMISSIONS}"
    await stage.grant(EVERYTHING_BUT_ADMINISTRATOR)
    assert await moderate(stage, "kick", jo) == "kick: done"


async def test_channel_that_the_bot_does_not_see_is_refused(stage: Stage) -> None:
    hidden = [{"id": stage.guild_id, "type": 0, "allow": 0, "deny": int(Permission.VIEW_CHANNEL)}]
    body = {"name": "cellar", "overwrites": hidden}
    channel = await stage.control("POST", f"/guilds/{stage.guild_id}/channels", body)
    with pytest.raises(AssertionError, match="Missing Access"):
        await stage.bot.do("send", channel_id=channel["id"], content="hello?")
    assert await stage.rest(f"/channels/{channel['id']}") == MISSING_ACCESS


async def test_guild_is_joined_its_members_fetched_and_it_is_left(stage: Stage) -> None:
    body = {"name": "town", "applications": [stage.application_id], "members": 1_100}
    (guild,) = (await stage.control("POST", "/guilds", body))["items"]
    joined = await stage.bot.event("joined", guild_id=guild["id"])
    assert joined["member_count"] == 1_102
    everyone = sorted(["alpha", "guild-owner", *(f"member-{number}" for number in range(1, 1_101))])
    assert sorted(await stage.bot.do("members", guild_id=guild["id"])) == everyone
    assert sorted(await stage.bot.do("chunks", guild_id=guild["id"])) == everyone
    found = await stage.bot.do("query", guild_id=guild["id"], start="member-10", limit=5)
    assert len(found) == 5
    assert all(name.startswith("member-10") for name in found)
    path = f"/guilds/{guild['id']}/members/{stage.application_id}"
    await stage.control("DELETE", path)
    assert (await stage.bot.event("left"))["guild_id"] == guild["id"]
