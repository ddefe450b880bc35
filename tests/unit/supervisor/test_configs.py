"""Which config a worker is given, what is told when it changes, and what is gone back from."""

import asyncio
import contextlib
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from flotilla.domain.bots import Bot
from flotilla.domain.config import BotConfig, Cache, GuildConfig
from flotilla.domain.config_record import ConfigOutcome, Refusal, Version
from flotilla.domain.sessions import Cause
from flotilla.domain.worker import Event, Failed, Renew, Start, State, Worker
from flotilla.errors import FixInputError, RetryError
from flotilla.protocol import Configured, GuildsChanged, Hello, Reconfigure, ToWorker
from supervisor import storing
from supervisor.chronicle import Chronicle
from supervisor.configs import Configs
from supervisor.guilds import TOLD_AT_ONCE
from supervisor.journal import Journal
from supervisor.member import Member
from tests.builders import T0, a_bot, none_refused
from tests.fakes.configs import MemoryConfigStore
from tests.fakes.fleet import MemoryFleetStore
from tests.stack import until

GOOD, NEW = BotConfig(), BotConfig(cache=Cache.NONE)
GUILD = "200000000000000001"


class Case:
    """One bot whose worker of generation 1 runs with version 0."""

    def __init__(self, **changes: Any) -> None:
        self.store, fleet = MemoryConfigStore(), MemoryFleetStore()
        self.told: list[ToWorker] = []
        self.connected = True
        self.events: list[Event] = []
        self.chronicle = Chronicle(fleet)
        self.configs = self.made()
        process: Any = SimpleNamespace(started_at=1)
        self.member = Member(a_bot(1), worker=Worker(State.STARTING, 1), process=process, **changes)
        self.configs.welcomes(self.member, running=False)
        self.configs.met(self.member, self.hello(running=False))
        self.is_ready()

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        assert bot_id == self.member.bot.id
        if self.connected:
            self.told.append(message)
        return self.connected

    def hello(self, *, running: bool, config: int = 0, guilds: int = 0) -> Hello:
        return Hello(2, self.member.bot.id, self.member.worker.generation, b"", running, running, config, guilds)

    def is_ready(self, since_s: float = 0.0) -> None:
        ready_at = time.monotonic() - since_s
        self.member.worker = replace(self.member.worker, state=State.RUNNING, ready_at=ready_at)
        self.configs.became_ready(self.member)

    def want(self, config: BotConfig = NEW, **changes: Any) -> None:
        bot: Bot = self.member.bot
        version = bot.config_version + (config != bot.config)
        self.member.bot = replace(bot, config=config, config_version=version, **changes)
        self.configs.changed(self.member)

    def want_unheard(self, config: BotConfig) -> None:
        bot: Bot = self.member.bot
        self.member.bot = replace(bot, config=config, config_version=bot.config_version + 1)

    def after_a_death(self) -> Configs:
        """Return what a supervisor begins with that takes the worker over; nothing was stored of its config."""
        self.member = Member(self.member.bot, worker=self.member.worker, process=self.member.process)
        return self.made()

    def made(self) -> Configs:
        journal = Journal(MemoryFleetStore(), none_refused)
        return Configs(self.store, self.chronicle, journal, self.tell, self.happens, ("mine",))

    def happens(self, _member: Member, event: Event) -> None:
        self.events.append(event)

    def starts(self, *, cause: str = Cause.CRASH) -> int:
        """Let the next worker start; return the version that it is given."""
        self.member.start_cause = cause
        self.member.worker = Worker(State.STARTING, self.member.worker.generation + 1)
        self.configs.starting(self.member)
        version = self.configs.welcomes(self.member, running=False)[1]
        self.configs.met(self.member, self.hello(running=False))
        return version


async def test_new_config_is_told_and_holds_when_the_worker_says_so() -> None:
    case = Case()
    case.want()
    assert case.told == [Reconfigure(NEW, 1, ("mine",))]
    assert case.member.outcome == ConfigOutcome(0, GOOD)
    case.configs.take(case.member, 1, Configured(1, "live"))
    assert (case.member.config_version, case.member.config) == (1, NEW)


async def test_worker_that_cannot_take_it_is_restarted_warm() -> None:
    case = Case()
    case.want()
    case.configs.take(case.member, 1, Configured(1, "restart"))
    assert case.events == [Renew(1, "config_changed")]
    assert case.starts() == 1


async def test_worker_that_was_not_asked_cannot_have_itself_restarted_for_a_config() -> None:
    case = Case()
    for outcome in ("restart", "failed", "live"):
        case.configs.take(case.member, 1, Configured(0, outcome))
    assert case.events == []
    assert case.member.outcome.refused is None


async def test_answer_to_a_config_that_has_changed_again_means_nothing() -> None:
    case = Case()
    case.want()
    case.want(BotConfig(locale="id"))
    case.configs.take(case.member, 1, Configured(1, "restart"))
    case.configs.take(case.member, 9, Configured(2, "restart"))
    assert case.events == []
    assert [message.version for message in case.told if isinstance(message, Reconfigure)] == [1, 2]


async def test_settings_that_were_not_taken_are_refused_and_the_worker_goes_on() -> None:
    case = Case()
    case.want()
    case.configs.take(case.member, 1, Configured(1, "failed", "ValueError: no"))
    refused = case.member.outcome.refused
    assert refused is not None
    assert (refused.version, refused.code, refused.detail) == (1, "config_not_taken", "ValueError: no")
    assert case.starts() == 0


@pytest.mark.parametrize("code", ["bot_code_failed", "intents_refused", "memory_limit"])
async def test_config_that_fails_to_start_is_gone_back_from(code: str) -> None:
    case = Case()
    case.want()
    assert case.starts() == 1
    assert case.configs.cause(case.member, 2, code, "why") == "config_refused"
    case.member.worker = Worker(State.STOPPING, 2, reason="config_refused", restart=True)
    case.configs.ended(case.member, 2, 1)
    assert case.events == []
    assert case.starts() == 0
    await case.configs.writer.flush()
    outcome = case.store.outcomes[case.member.bot.id]
    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.good_version) == (code, 0)
    assert case.starts(cause=Cause.ASKED) == 1


@pytest.mark.parametrize("code", ["discord_unreachable", "token_refused", "session_limit", "killed"])
async def test_what_a_config_cannot_be_to_blame_for_changes_nothing(code: str) -> None:
    case = Case()
    case.want()
    case.starts()
    assert case.configs.cause(case.member, 2, code, "") == code
    assert case.member.outcome.refused is None


@pytest.mark.parametrize(
    ("worker", "exit_code", "blamed"),
    [
        (Worker(State.STARTING, 2), 1, True),
        (Worker(State.STARTING, 2), -11, True),
        (Worker(State.STARTING, 2), -9, False),
        (Worker(State.STOPPING, 2, reason="startup_timeout", restart=True), -9, True),
        (Worker(State.STOPPING, 2, reason="restart_requested", restart=True), 0, False),
        (Worker(State.STOPPING, 2), -9, False),
        (Worker(State.STARTING, 3), 1, False),
    ],
)
async def test_end_without_a_word_is_judged_by_how_it_was(worker: Worker, exit_code: int, *, blamed: bool) -> None:
    case = Case()
    case.want()
    case.starts()
    case.member.worker = worker
    case.configs.ended(case.member, 2, exit_code)
    assert case.events == ([Failed(2, "config_refused")] if blamed else [])


async def test_crash_after_ready_counts_until_the_config_has_proved_itself() -> None:
    case = Case()
    case.want()
    case.starts()
    case.is_ready()
    assert case.configs.cause(case.member, 2, "crashed", "") == "config_refused"
    case.want(BotConfig(locale="id"))
    assert case.starts() == 2
    case.is_ready(since_s=1000)
    case.configs._look()
    assert case.member.outcome.good_version == 2
    assert case.configs.cause(case.member, case.member.worker.generation, "crashed", "") == "crashed"


async def test_refusal_is_withdrawn_when_the_good_config_fails_just_so() -> None:
    case = Case()
    case.want()
    case.starts()
    case.configs.cause(case.member, 2, "startup_timeout", "")
    assert case.starts() == 0
    assert case.configs.cause(case.member, 3, "startup_timeout", "") == "startup_timeout"
    assert case.member.outcome.refused is None
    assert case.starts() == 1


async def test_first_config_has_nothing_to_go_back_to() -> None:
    case = Case()
    case.member.worker = Worker(State.STARTING, 1)
    case.configs._came_up.clear()
    assert case.configs.cause(case.member, 1, "bot_code_failed", "") == "bot_code_failed"
    assert case.member.outcome == ConfigOutcome()


@pytest.mark.parametrize(
    ("reason", "again"), [("crash_loop", True), ("intents_refused", True), ("token_refused", False)]
)
async def test_bot_that_gave_up_is_tried_again_with_another_config(reason: str, *, again: bool) -> None:
    case = Case()
    case.member.worker = Worker(State.FATAL, 1, reason=reason)
    case.want()
    assert case.events == ([Start()] if again else [])
    assert case.told == []


async def test_worker_that_was_out_of_touch_is_told_what_it_missed() -> None:
    refused = Refusal(7, "crashed", "", T0)
    case = Case()
    bot = replace(case.member.bot, config=NEW, config_version=7, guilds_version=3)
    case.member.bot, case.member.outcome = bot, ConfigOutcome(5, GOOD, refused)
    case.configs.met(case.member, case.hello(running=True, config=7, guilds=3))
    assert (case.member.config_version, case.member.config) == (7, NEW)
    assert case.told == [Reconfigure(GOOD, 5, ("mine",))]


async def test_what_a_worker_ran_with_is_good_though_nobody_had_time_to_write_that_down() -> None:
    case = Case()
    case.configs = case.after_a_death()
    case.want_unheard(NEW)
    case.configs.met(case.member, case.hello(running=True))
    assert case.member.outcome == ConfigOutcome(0, GOOD)
    assert case.told == [Reconfigure(NEW, 1, ("mine",))]


async def test_what_nobody_wants_any_more_is_looked_up_before_the_worker_is_told_of_another() -> None:
    case = Case()
    case.configs = case.after_a_death()
    middle = BotConfig(locale="id")
    case.want_unheard(middle)
    case.want_unheard(NEW)
    case.store.versions[case.member.bot.id] = [Version(2, NEW, T0, "x"), Version(1, middle, T0, "x")]
    case.store.away = True
    case.configs.met(case.member, case.hello(running=True, config=1))
    await asyncio.sleep(0.02)
    assert (case.told, case.member.outcome.good) == ([], None)
    case.store.away = False
    await until(lambda: case.told, "it is told")
    assert case.told == [Reconfigure(NEW, 2, ("mine",))]
    assert case.member.outcome == ConfigOutcome(1, middle)


async def test_what_is_to_be_looked_up_waits_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "RETRY_CAP_S", 0.0)
    case = Case()
    case.configs = case.after_a_death()
    middle, failures = BotConfig(locale="id"), 0
    case.want_unheard(middle)
    case.want_unheard(NEW)

    async def history(_bot_id: str) -> list[Version]:
        nonlocal failures
        failures += 1
        if failures <= 1100:  # 2**1024 is beyond a float
            raise RetryError("away")
        return [Version(1, middle, T0, "x")]

    monkeypatch.setattr(case.store, "history", history)
    case.configs.met(case.member, case.hello(running=True, config=1))
    await until(lambda: case.told, "it is told")
    assert case.member.outcome == ConfigOutcome(1, middle)


async def test_bot_that_is_removed_meanwhile_is_not_looked_up_for_ever() -> None:
    case = Case()
    case.configs = case.after_a_death()
    case.want_unheard(BotConfig(locale="id"))
    case.want_unheard(NEW)
    case.configs.met(case.member, case.hello(running=True, config=1))
    await asyncio.sleep(0.02)
    assert case.told == []
    case.configs.forget(case.member.bot.id)


async def test_outcomes_are_kept_while_the_database_is_away() -> None:
    case = Case()
    case.want()
    case.store.away = True
    running = asyncio.create_task(case.configs.run())
    await asyncio.sleep(0)
    case.store.away = False
    await case.configs.writer.flush()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert case.store.outcomes == {case.member.bot.id: ConfigOutcome(0, GOOD)}
    case.configs.forget(case.member.bot.id)
    await case.configs.writer.flush()


async def test_guilds_that_changed_are_told_and_told_again_after_a_failure() -> None:
    case = Case()
    guilds = case.configs.guilds
    answer = await guilds.answer_set(case.member, b'{"guild_id": "%s", "changes": {"locale": "id"}}' % GUILD.encode())
    assert answer == b'{"locale":"id"}'
    assert await guilds.answer_get(case.member, b'{"guild_id": "%s"}' % GUILD.encode()) == answer
    case.connected = False
    case.want(GOOD, guilds_version=1)
    await guilds.flush()
    assert case.told == []
    case.connected = True
    case.configs.met(case.member, case.hello(running=True, guilds=0))
    await guilds.flush()
    (message,) = case.told
    assert isinstance(message, GuildsChanged)
    assert (message.guilds_version, [row.config for row in message.guilds]) == (1, [GuildConfig("id")])
    await guilds.flush()
    assert len(case.told) == 1


async def test_of_too_many_guilds_only_that_they_changed_is_told() -> None:
    case = Case()
    for number in range(TOLD_AT_ONCE + 1):
        await case.store.change_guild(case.member.bot.id, str(int(GUILD) + number), {"locale": "id"})
    case.want(GOOD, guilds_version=TOLD_AT_ONCE + 1)
    await case.configs.guilds.flush()
    assert case.told == [GuildsChanged(TOLD_AT_ONCE + 1, (), all_else=True)]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"guild_id": "7"}', b"[" * 5000, b'{"guild_id": "\xff"}'])
async def test_question_that_is_wrong_is_refused(body: bytes) -> None:
    case = Case()
    for answer in (case.configs.guilds.answer_get, case.configs.guilds.answer_set):
        with pytest.raises(FixInputError) as raised:
            await answer(case.member, body)
        assert raised.value.code == "question_malformed"
