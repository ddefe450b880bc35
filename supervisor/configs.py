"""Runs each bot with the config that is wanted: at once, by a warm restart, or back with the last one that was good."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from flotilla.domain.config import DEFAULT_CONFIG, BotConfig
from flotilla.domain.config_record import ConfigOutcome
from flotilla.domain.config_run import CURED_BY_CHANGE, after_failure, chosen, not_taken, ran_well
from flotilla.domain.reasons import reason, reason_of_exit
from flotilla.domain.sessions import Cause
from flotilla.domain.worker import Event, Failed, Renew, Start, State
from flotilla.errors import NotFoundError, RetryError
from flotilla.ports import ConfigStore
from flotilla.protocol import Configured, Hello, Reconfigure, ToWorker
from supervisor.chronicle import Chronicle
from supervisor.containment import Containment
from supervisor.guilds import Guilds
from supervisor.journal import Journal
from supervisor.member import Member, is_wanted
from supervisor.storing import retry_delay_s
from supervisor.writer import Writer

LOOK_S = 1.0
"""How often it is looked which configs have proved themselves, and workers are told what is set in guilds."""


log = structlog.get_logger()


class Configs:
    """What came of each bot's config lives in its member; here it is judged, told and stored.

    fleet: the module paths that every bot loads. apply: lets an event happen to a member's worker.
    """

    def __init__(
        self,
        store: ConfigStore,
        chronicle: Chronicle,
        journal: Journal,
        tell: Callable[[str, ToWorker], bool],
        apply: Callable[[Member, Event], None],
        fleet: tuple[str, ...],
        containment: Containment | None = None,
    ) -> None:
        self._containment = containment or Containment()
        self._store = store
        self._chronicle, self._journal = chronicle, journal
        self._tell, self._apply = tell, apply
        self._fleet = fleet
        self.guilds = Guilds(store, tell)
        self._trials: dict[str, Member] = {}
        self._came_up: dict[str, int] = {}
        self.writer: Writer[tuple[str, ConfigOutcome]] = Writer(
            "config outcomes", self._save, chronicle.not_stored, owner=lambda row: row[0], also=self.guilds.flush
        )
        self._recalling: dict[str, asyncio.Task[None]] = {}

    # What workers are given ------------------------------------------------------------------------------------------

    def starting(self, member: Member) -> None:
        """A worker is spawned. A start that somebody asks for tries a config again that was refused."""
        outcome = member.outcome
        if outcome.refused is not None and member.start_cause == Cause.ASKED:
            self._keep(member, ConfigOutcome(outcome.good_version, outcome.good))

    def welcomes(self, member: Member, *, running: bool) -> tuple[BotConfig, int]:
        """Return the config and its version that a worker is told with its Welcome: a new one runs with it."""
        config, version = self._chosen(member)
        if not running:
            self._runs(member, config, version)
        return config, version

    def met(self, member: Member, hello: Hello) -> None:
        """A worker has been welcomed. One that runs already, and was out of touch, is told what it has missed."""
        if not hello.running:
            self.guilds.knows(member, member.bot.guilds_version)
            return
        if hello.config_version != member.config_version:
            nothing_set, wanted = (0, DEFAULT_CONFIG), (member.bot.config_version, member.bot.config)
            good = (member.outcome.good_version, member.outcome.good)
            member.config = dict((nothing_set, good, wanted)).get(hello.config_version)
            member.config_version = hello.config_version
        self.guilds.knows(member, hello.guilds_version)
        self._trials[member.bot.id] = member
        if hello.ready:
            self._came_up[member.bot.id] = hello.generation
        if member.config is None:
            self._recalling[member.bot.id] = self._containment.spawn(
                member.bot, "recall of its config", self._recall(member, hello)
            )
        else:
            self._catch_up(member, hello)

    def _catch_up(self, member: Member, hello: Hello) -> None:
        """Tell a worker what it has missed. What it ran well with until then is good."""
        running, refused = member.config_version, member.outcome.refused
        is_refused = refused is not None and refused.version == running
        is_other = hello.ready and not is_refused and self._chosen(member)[1] != running
        if is_other and member.config is not None and running is not None:
            self._proved(member, member.config, running)
        self._tell_if_other(member)

    async def _recall(self, member: Member, hello: Hello) -> None:
        """Find out what a worker runs with that was started with a config which is wanted no more and not yet good.

        Only then it is told of another: what it runs with now is what there is to go back to.
        """
        failures = 0
        while member.worker.generation == hello.generation and member.config is None:
            try:
                versions = {each.version: each.config for each in await self._store.history(member.bot.id)}
                if member.worker.generation == hello.generation and member.config_version == hello.config_version:
                    member.config = versions.get(hello.config_version)
                break
            except RetryError as fault:
                failures += 1
                log.warning("configs.database_away", error=fault.message)
                await asyncio.sleep(retry_delay_s(failures, random.random()))  # noqa: S311 - jitter
            except NotFoundError:
                return
        if member.worker.generation == hello.generation:
            self._catch_up(member, hello)

    def changed(self, member: Member) -> None:
        """What is wanted of a bot or of one of its guilds has changed."""
        self.guilds.changed(member)
        worker = member.worker
        if worker.ready and member.config is not None and member.config_version is not None:
            self._proved(member, member.config, member.config_version)
        if worker.state in {State.BACKOFF, State.FATAL}:
            differs = self._chosen(member)[1] != member.config_version
            if differs and is_wanted(member.bot) and worker.reason in CURED_BY_CHANGE:
                self._apply(member, Start())
            return
        self._tell_if_other(member)

    def take(self, member: Member, generation: int, message: Configured) -> None:
        """Take a worker's answer to a new config."""
        config, version = self._chosen(member)
        if member.worker.generation != generation or message.version != version:
            return  # it has changed again meanwhile, and the worker has been told so
        if version == member.config_version:
            return  # it was not asked to take what it runs with
        log.info(
            "config.answered",
            bot=member.bot.name,
            version=version,
            outcome=message.outcome,
            detail=message.detail,
        )
        if message.outcome == "live":
            self._runs(member, config, version)
            self._journal.put(member.status())
        elif message.outcome == "restart":
            self._apply(member, Renew(generation, "config_changed"))
        else:
            self._keep(member, not_taken(member.outcome, version, message.detail, datetime.now(UTC)))
            self._note(member, version, "config_not_taken", message.detail)

    # How runs end ----------------------------------------------------------------------------------------------------

    def cause(self, member: Member, generation: int, code: str, detail: str) -> str:
        """Return why a run ends that a worker says ends with `code`: perhaps it was the config."""
        if generation != member.worker.generation or member.worker.state not in {State.STARTING, State.RUNNING}:
            return code
        return "config_refused" if self._blame(member, code, detail) else code

    def ended(self, member: Member, generation: int, exit_code: int | None) -> None:
        """A process is gone, before the worker's lifecycle is told so."""
        worker = member.worker
        if worker.generation != generation:
            return
        if worker.state is State.STOPPING:
            code = worker.reason if worker.restart else None
        elif worker.state in {State.STARTING, State.RUNNING}:
            code = reason_of_exit(exit_code)
        else:
            code = None
        if code is not None and self._blame(member, code, f"The process ended: {reason(code).title}."):
            self._apply(member, Failed(generation, "config_refused"))

    def _blame(self, member: Member, code: str, detail: str) -> bool:
        """Return whether the config is to blame for the end of this run and gone back from."""
        version = member.config_version
        if version is None or not is_wanted(member.bot):
            return False
        was_ready = self._came_up.get(member.bot.id) == member.worker.generation
        after = after_failure(member.outcome, version, code, detail, datetime.now(UTC), was_ready=was_ready)
        if after == member.outcome:
            return False
        self._keep(member, after)
        if after.refused is None:
            log.warning("config.refusal_withdrawn", bot=member.bot.name, version=member.bot.config_version, reason=code)
            return False
        self._note(member, version, code, detail)
        return True

    def _note(self, member: Member, version: int, code: str, detail: str) -> None:
        self._chronicle.note(
            "config_refused",
            member.bot.id,
            member.bot.name,
            distinct=str(version),
            version=version,
            reason=code,
            why=detail[:500],
            runs=member.outcome.good_version,
        )

    # -----------------------------------------------------------------------------------------------------------------

    def _chosen(self, member: Member) -> tuple[BotConfig, int]:
        return chosen(member.outcome, member.bot.config, member.bot.config_version)

    def _runs(self, member: Member, config: BotConfig, version: int) -> None:
        member.config, member.config_version = config, version
        self._trials.pop(member.bot.id, None)

    def _tell_if_other(self, member: Member) -> None:
        config, version = self._chosen(member)
        if member.process is not None and version != member.config_version:
            self._tell(member.bot.id, Reconfigure(config, version, config.loaded(self._fleet)))

    def became_ready(self, member: Member) -> None:
        """A worker's session is up: from now on its config has to prove itself."""
        self._trials[member.bot.id] = member
        self._came_up[member.bot.id] = member.worker.generation

    def forget(self, bot_id: str) -> None:
        """Drop what is known of a bot that is removed."""
        self._trials.pop(bot_id, None)
        self.writer.forget(bot_id)
        self._came_up.pop(bot_id, None)
        self._recalling.pop(bot_id, None)
        self.guilds.forget(bot_id)

    def _proved(self, member: Member, config: BotConfig, version: int) -> None:
        self._trials.pop(member.bot.id, None)
        if member.outcome.good_version != version:
            self._keep(member, ran_well(member.outcome, config, version))

    def _keep(self, member: Member, outcome: ConfigOutcome) -> None:
        member.outcome = outcome
        self.writer.put((member.bot.id, outcome), key=member.bot.id)

    async def run(self) -> None:
        """Look for ever which configs have proved themselves, and have workers told what is set in guilds."""
        while True:
            self._look()
            self.writer.storing.ask()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        for member in list(self._trials.values()):
            ready_at = member.worker.ready_at
            if member.worker.state is not State.RUNNING:
                continue
            if ready_at is not None and member.clock() - ready_at >= member.policy.stable_after_s:
                if member.config is None or member.config_version is None:
                    del self._trials[member.bot.id]
                else:
                    self._proved(member, member.config, member.config_version)

    async def _save(self, rows: Sequence[tuple[str, ConfigOutcome]]) -> None:
        await self._store.record_outcomes(dict(rows), datetime.now(UTC))
