"""A bot's config: held at once, by a warm restart, or gone back from; with real workers."""

import asyncio
import signal
from typing import Any

import pytest

from flotilla.db.configs import SqlConfigs
from flotilla.db.happenings import HappeningFilter, SqlHappenings
from flotilla.domain.bots import BotStatus, Desired
from flotilla.domain.config_record import ConfigOutcome
from tests.stack import Stack, until

CONFIGURED = "tests.extensions.configured"


class Fleet:
    """One bot that runs, on a stack."""

    def __init__(self, stack: Stack, bot_id: str) -> None:
        self.stack, self.bot_id = stack, bot_id
        self.configs = SqlConfigs(stack.database)

    async def change(self, **changes: Any) -> int:
        return (await self.configs.change(self.bot_id, changes, "test")).version

    async def runs(self, version: int, generation: int | None = None) -> BotStatus:
        def does(status: BotStatus) -> bool:
            return status.ready and status.config_version == version and generation in {None, status.generation}

        return await self.stack.observed(self.bot_id, does, f"the bot runs version {version}")

    async def discord(self) -> dict[str, Any]:
        (item,) = (await self.stack.sandbox("GET", "/applications"))["items"]
        return dict(item)

    async def outcome(self) -> ConfigOutcome:
        return (await self.stack.bots.get(self.bot_id)).outcome

    async def refused(self, version: int) -> ConfigOutcome:
        async def is_stored() -> ConfigOutcome | None:
            outcome = await self.outcome()
            return outcome if outcome.refused is not None and outcome.refused.version == version else None

        found: ConfigOutcome = await until(is_stored, f"version {version} is refused")
        return found

    async def use(self, command: str) -> dict[str, Any]:
        application = (await self.discord())["id"]
        return dict(await self.stack.sandbox("POST", f"/applications/{application}/interactions", command=command))

    async def told(self, command: str) -> str:
        return str((await self.use(command))["message"]["content"])


@pytest.fixture
async def fleet(stack: Stack) -> Fleet:
    stack.environment["FLOTILLA_EXTENSIONS"] = "worker_bot.extensions.core,tests.extensions.knowing"
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor()
    await stack.all_ready(1)
    return Fleet(stack, bot_id)


async def test_presence_changes_live_as_discord_sees_it(fleet: Fleet) -> None:
    before = await fleet.runs(0)
    await fleet.change(presence={"status": "idle", "activity": "chess", "doing": "playing"})

    async def is_shown() -> bool:
        presence = (await fleet.discord())["sessions"][0]["presence"] or {}
        game = (presence.get("activities") or [presence.get("game")])[0] or {}
        return (presence.get("status"), game.get("name"), game.get("type")) == ("idle", "chess", 0)

    await until(is_shown, "the presence is shown")
    after = await fleet.runs(1)
    assert (after.pid, after.generation) == (before.pid, 1)
    assert (await fleet.discord())["identifies"] == 1
    # A warm restart keeps what is shown, for the session does.
    await fleet.stack.bots.want(fleet.bot_id, Desired.RUNNING, again=True)
    await fleet.runs(1, generation=2)
    await until(is_shown, "the presence is shown still")
    assert (await fleet.discord())["identifies"] == 1


async def test_smaller_cache_costs_no_session_start_and_other_intents_cost_one(fleet: Fleet) -> None:
    await fleet.change(cache="none")
    await fleet.runs(1, generation=2)
    told = await fleet.discord()
    assert (told["identifies"], told["resumes"]) == (1, 1)
    assert (await fleet.told("know")).endswith("; []; []; []")
    await fleet.change(intents=["GUILDS", "GUILD_MESSAGES"])
    await fleet.runs(2, generation=3)
    told = await fleet.discord()
    assert told["identifies"] == 2
    assert [session["intents"] for session in told["sessions"]][-1] == (1 << 0) | (1 << 9)
    assert (await fleet.use("ping"))["status"] == "answered"


async def test_broken_extension_is_gone_back_from_and_tried_again_when_asked_for(fleet: Fleet) -> None:
    await fleet.change(extensions=["tests.extensions.broken"])
    outcome = await fleet.refused(1)
    assert (outcome.good_version, outcome.refused and outcome.refused.code) == (0, "bot_code_failed")
    status = await fleet.runs(0)
    assert status.failures == 0
    told = await fleet.discord()
    assert told["identifies"] == 1
    assert (await fleet.use("ping"))["status"] == "answered"
    page = await SqlHappenings(fleet.stack.database).page(HappeningFilter(fleet.bot_id), 50, None)
    happened = [row.happening for row in page.items if row.happening.code == "config_refused"]
    assert [(row.detail["version"], row.detail["runs"]) for row in happened] == [(1, 0)]
    await fleet.stack.bots.want(fleet.bot_id, Desired.RUNNING, again=True)
    await fleet.runs(0, generation=status.generation + 2)
    assert (await fleet.discord())["identifies"] == 1
    await fleet.change(extensions=["tests.extensions.wanting"])
    refused = (await fleet.refused(2)).refused
    assert refused is not None
    assert "needs the intent GUILD_MEMBERS" in refused.detail
    assert "cache=members" in refused.detail
    await fleet.change(extensions=None)
    await fleet.runs(3)
    assert (await fleet.discord())["identifies"] == 1


async def test_refused_intents_are_gone_back_from_with_one_try(fleet: Fleet) -> None:
    application = (await fleet.discord())["id"]
    await fleet.stack.sandbox("POST", f"/applications/{application}/intents", refuse=True)
    known = await fleet.told("know")
    assert "general" in known
    await fleet.change(intents=["GUILDS", "GUILD_MEMBERS"])
    outcome = await fleet.refused(1)
    assert outcome.refused is not None
    assert outcome.refused.code == "intents_refused"
    await fleet.runs(0)
    told = await fleet.discord()
    assert told["identifies"] <= 2
    assert [session["intents"] & 2 for session in told["sessions"]] == [0]
    assert await fleet.told("know") == known
    await fleet.stack.sandbox("POST", f"/applications/{application}/intents", refuse=False)
    await fleet.stack.bots.want(fleet.bot_id, Desired.RUNNING, again=True)
    await fleet.runs(1)


async def test_settings_change_live_and_are_refused_live(fleet: Fleet) -> None:
    await fleet.change(extensions=[CONFIGURED], settings={CONFIGURED: {"rows": 3}})
    await fleet.runs(1, generation=2)
    await fleet.change(settings={CONFIGURED: {"rows": 0}})
    outcome = await fleet.refused(2)
    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.good_version) == ("config_not_taken", 1)
    assert "rows must be at least 1" in outcome.refused.detail
    await fleet.change(settings={CONFIGURED: {"rows": 7}})
    await fleet.runs(3, generation=2)
    guild_id = (await fleet.discord())["guild_id"]
    await fleet.configs.change_guild(fleet.bot_id, guild_id, {"settings": {CONFIGURED: {"colour": "red"}}})
    assert await fleet.told("told") == "{'rows': 7}; {'rows': 7, 'colour': 'red'}"
    await fleet.configs.change_guild(fleet.bot_id, guild_id, {"settings": {CONFIGURED: {"colour": "blue"}}})

    async def is_told() -> bool:
        return "blue" in await fleet.told("told")

    await until(is_told, "the worker has been told what was set in the guild")


async def test_config_changed_while_the_supervisor_was_away_holds_afterwards(fleet: Fleet) -> None:
    before = await fleet.runs(0)
    supervisor = fleet.stack.programs[-1]
    await supervisor.end(signal.SIGKILL)
    await fleet.change(presence={"activity": "chess"})
    await fleet.change(locale="id")
    await fleet.stack.start_supervisor()
    after = await fleet.runs(2)
    assert (after.pid, after.generation) == (before.pid, 1)
    await fleet.change(cache="none")
    await fleet.runs(3, generation=2)


async def test_changes_at_once_end_with_the_last_one_and_few_restarts(fleet: Fleet) -> None:
    changes: list[dict[str, Any]] = [{"cache": "none"}, {"locale": "id"}, {"presence": {"activity": "chess"}}]
    await asyncio.gather(*(fleet.change(**change) for change in changes))
    status = await fleet.runs(3)
    assert status.generation <= 3
    assert (await fleet.discord())["identifies"] == 1


async def test_first_config_that_is_broken_is_mended_by_a_change(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    fleet = Fleet(stack, bot_id)
    await fleet.change(extensions=["tests.extensions.broken"])
    await stack.start_supervisor()
    await stack.observed(bot_id, lambda s: s.failures > 0, "its first run has failed")
    await fleet.change(extensions=None)
    await fleet.runs(2)
    assert (await fleet.outcome()).refused is None
