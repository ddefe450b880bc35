"""The supervisor's loops, and how it begins and ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module

import structlog

from flotilla.botlog import log_file
from flotilla.domain.bots import BotStatus
from flotilla.domain.bounds import plain
from flotilla.domain.claims import SLOT
from flotilla.domain.config import own_code
from flotilla.domain.diagnosis import Exit
from flotilla.domain.policy import MIB
from flotilla.domain.shares import Shares
from flotilla.domain.worker import HandedOver, State
from flotilla.errors import FlotillaError, RetryError
from flotilla.mark import mark_of
from flotilla.ports import (
    CommandLogStore,
    ConfigStore,
    FleetRow,
    FleetStore,
    LiveMetrics,
    NudgeListener,
    RolloverStore,
    SessionStore,
    StockStore,
    UptimeStore,
)
from flotilla.protocol import (
    Ask,
    AskIdentify,
    CommandsRan,
    Configured,
    Fork,
    Forked,
    ForkFailed,
    GatewaySeen,
    Happened,
    Heap,
    IdentifiedAlone,
    InvalidRequests,
    Measured,
    Preload,
    Probed,
    Sealed,
    ToWorker,
    Without,
    WorkerConfig,
    WorkerLimits,
)
from flotilla.release import record_release
from flotilla.secrets import TokenVault
from flotilla.settings import Settings
from flotilla.tasks import spawn
from supervisor.about import About
from supervisor.admission import Admission
from supervisor.answers import LOOKS_AT_ONCE, Answers
from supervisor.awake_loop import AwakeLoop
from supervisor.chronicle import Chronicle
from supervisor.command_logs import CommandLogs
from supervisor.command_orders import CommandOrders
from supervisor.configs import Configs
from supervisor.containment import Containment
from supervisor.control import ControlServer
from supervisor.diagnosis import Diagnosis
from supervisor.ending import Ending
from supervisor.findings import Findings
from supervisor.fleet import Fleet
from supervisor.forkserver import ForkHandlers
from supervisor.forkservers import ForkServers
from supervisor.heaps import Heaps
from supervisor.host_faults import HostFaults, require_descriptors
from supervisor.isolation import Isolation
from supervisor.journal import Journal
from supervisor.lending import Lender
from supervisor.log_share import LogShare
from supervisor.member import Member, is_wanted
from supervisor.memory_watch import MemoryWatch
from supervisor.metrics import Metrics
from supervisor.occurrences import Occurrences
from supervisor.places import Places
from supervisor.processes import WorkerProcess
from supervisor.reaper import Reaper
from supervisor.requests import Requests
from supervisor.rollover import Rollovers
from supervisor.sessions import Sessions
from supervisor.shell import Shell
from supervisor.shown import Shown
from supervisor.spool import Spool
from supervisor.stalls import TICK_S, Stalls
from supervisor.stock import Stock
from supervisor.storing import Away, store_all
from supervisor.tokens import Tokens
from supervisor.unready import Unready
from supervisor.unstored import Unstored, newest
from supervisor.zygote import ForkServerProcess

FORK_SERVER_AFTER_S = 3.0
"""The fork server starts when all workers have been adopted, but no later than this, however slow one of them is."""

TOLD_FROM_S = 1.0
"""A database that is away for less is no happening: a connection was renewed."""

TOLD_CHARS = 200
log = structlog.get_logger()


class Supervisor:
    """Keeps the fleet as the database wants it, until `stop` is set or the process dies."""

    def __init__(
        self,
        settings: Settings,
        store: FleetStore,
        nudges: NudgeListener,
        vault: TokenVault,
        rollovers: RolloverStore,
        sessions: SessionStore,
        command_logs: CommandLogStore,
        configs: ConfigStore,
        uptimes: UptimeStore,
        stock: StockStore,
        loop: AwakeLoop,
        fork_server: ForkServerProcess | None = None,
        log_share: LogShare | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._nudges = nudges
        self._log_share = log_share or LogShare()
        self._look_now = asyncio.Event()
        self._stopping = False
        self._unstored = Unstored(settings.run_dir / "unstored.json")
        shares = Shares()
        self._chronicle = Chronicle(store, shares)
        not_stored = self._chronicle.not_stored
        self._journal = Journal(store, not_stored, self._unstored)
        self._tokens = Tokens(store, vault)
        self._isolation = Isolation(settings)
        self._forks = ForkServers(
            ForkHandlers(
                forked=self._forked,
                failed=self._fork_failed,
                hung=lambda number, why: self._chronicle.note("fork_server_hung", number=number, why=why),
                refused=lambda fault: self._host_faults.note(f"no fork server could be started: {fault}", fault),
            ),
            self._preload,
            settings.preload_timeout_s,
            fork_server,
        )
        self._admission = Admission(shares, self._tell, self._chronicle.note)
        self._host_faults = HostFaults(self._chronicle)
        self._containment = Containment(self._chronicle.note)
        self._diagnosis = Diagnosis(
            store,
            settings.log_dir,
            settings.bot_log_mb * MIB,
            not_stored,
            self._containment,
            self._tokens.secrets_of,
        )
        self._sessions = Sessions(
            sessions,
            self._chronicle,
            self._tell,
            interval_s=settings.identify_interval_s,
            alone_after_s=settings.alone_after_s,
            containment=self._containment,
        )
        self._fleet = Fleet(
            settings.policy,
            self._journal,
            Shell(
                spawn=self._spawn,
                on_exit=self._ended,
                on_lost=self._lost,
                dump_stacks=self._diagnosis.dump,
                on_gone=self._gone,
                on_policy=self._configure,
                withhold=self._sessions.withheld,
                on_config=self._config_changed,
                on_fatal=self._given_up,
                when_stored=self._do_when_stored,
            ),
            spawn_concurrency=settings.spawn_concurrency,
            clock=loop.time,
            containment=self._containment,
        )
        self._host_faults.on_mended = self._fleet.host_mended
        self._stalls = Stalls(loop.clock, self._chronicle, self._fleet, self._tick)
        self._rollover_store = rollovers
        self._rollovers = Rollovers(
            rollovers, self._fleet, self._forks, self._chronicle, settings.pace, settings.poll_interval_s
        )
        self._requests = Requests(
            settings.request_rules,
            settings.slow_requests_per_s,
            settings.run_dir / "invalid-requests.json",
            self._fleet,
            self._journal,
            self._chronicle,
            self._tell,
        )
        self._shown = Shown(
            store,
            self._fleet,
            self._journal,
            self._sessions,
            self._requests,
            self._forks,
            self._containment,
            self._chronicle,
        )
        self._heaps = Heaps(store, not_stored, self._containment)
        self._memory = MemoryWatch(self._fleet, self._journal, self._chronicle, self._heaps.brief, self._containment)
        spool = Spool(settings.run_dir / "command-logs.spool", settings.command_spool_mb * MIB)
        self._command_logs = CommandLogs(command_logs, spool, self._tell, not_stored)
        self._configs = Configs(
            configs,
            self._chronicle,
            self._journal,
            self._tell,
            self._fleet.apply,
            settings.extensions,
            self._containment,
        )
        looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        topics = {
            **About(uptimes, self._fleet, self._chronicle, looking).topics(),
            **Stock(stock, looking).topics(),
            "guild_config.get": self._configs.guilds.answer_get,
            "guild_config.set": self._configs.guilds.answer_set,
        }
        self._answers = Answers(topics, self._tell, self._containment)
        self._command_orders = CommandOrders(self._tell)
        self._occurrences = Occurrences(store, self._tell, not_stored)
        self._metrics = Metrics(self._open_metrics, self._fleet.get, settings.metrics_interval_s / 3)
        self._findings = Findings(self._chronicle, self._journal, self._fleet, self._fleet.apply)
        self._unready = Unready(self._fleet, self._chronicle, self._sessions.affordable, self._discord_answers)
        self._control = ControlServer(
            settings.control_socket,
            self._fleet,
            self._journal,
            self._tokens,
            WorkerConfig(
                settings.discord_url,
                settings.extensions,
                settings.log_level,
                WorkerLimits(),
                metrics_every_s=settings.metrics_interval_s,
            ),
            self._requests,
            self._sessions,
            self._configs,
            {
                InvalidRequests: self._requests.take,
                Heap: self._heaps.take,
                AskIdentify: self._sessions.take,
                IdentifiedAlone: self._sessions.take,
                GatewaySeen: self._sessions.take,
                Probed: self._findings.take,
                Sealed: lambda member, generation, _: self._fleet.apply(member, HandedOver(generation)),
                CommandsRan: self._command_logs.take,
                Ask: self._answers.take,
                Configured: self._configs.take,
                Measured: self._metrics.take,
                Happened: self._occurrences.take,
                Without: self._host_faults.take,
            },
            self._admission,
            self._containment,
            self._isolation.users,
            lambda member, why: self._chronicle.note(
                "protocol_violation", member.bot.id, member.bot.name, why=plain(why, TOLD_CHARS)
            ),
            Lender(settings, self._isolation.users).open,
        )
        self._heaps.tell = self._control.tell
        self._reaper = Reaper(
            self._fleet,
            self._forks,
            self._isolation,
            self._configs,
            self._host_faults,
            self._containment,
            self._chronicle,
            mark_of(settings.home),
            self._control.heard_out,
        )
        self._control.on_new = lambda _: self._host_faults.worker_met()
        self._writers = (
            self._sessions.writer,
            self._journal.writer,
            self._diagnosis.exits,
            self._diagnosis.stacks,
            self._heaps.writer,
            self._chronicle.writer,
            self._configs.writer,
            self._occurrences.writer,
            self._command_logs.writer,
            self._rollovers.writer,
        )

    async def run(
        self,
        stop: asyncio.Event,
        stop_bots: Awaitable[bool],
        *,
        own_boot: bool = True,
        taken_over: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Supervise until `stop` is set. stop_bots: awaited then; True stops every bot first, False leaves them.

        own_boot: whether the processes that are recorded are of this run of the kernel; those of another are gone.
        taken_over: awaited once they are ours, or known to be gone.

        A failed loop ends the program loudly, and supervisord starts it again; the bots do not notice.
        """
        await self._take_over(own_boot=own_boot)
        if taken_over is not None:
            await taken_over()
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(loop)
                for loop in (
                    self._forks.run(),
                    self._reconcile_for_ever(),
                    self._listen_for_nudges(),
                    self._stalls.run(),
                    self._memory.run(),
                    self._shown.run(),
                    self._requests.run(),
                    self._configs.run(),
                    self._unready.run(),
                    self._admission.run(),
                    self._log_share.run(),
                    self._diagnosis.bound_logs(self._fleet),
                    self._note_adoption(),
                    Places(self._settings, self._control, self._chronicle, self._isolation.let_through).run(),
                )
            ]
            storing = [group.create_task(writer.run()) for writer in (*self._writers, self._metrics)]
            rolling = group.create_task(self._rollovers.run())
            await stop.wait()
            ending = Ending()
            self._stopping = True
            # The next supervisor carries on; what is being stopped must not be restarted.
            rolling.cancel()
            if await stop_bots:
                await ending.stop_bots(self._fleet, self._reaper)
            for loop in loops:
                loop.cancel()
            self._control.close(for_good=self._fleet.idle())
            # Session starts first: one that is forgotten may cost a bot its token.
            ledger, *others = (writer.storing for writer in self._writers)
            await store_all(ledger, (*others, self._metrics.storing), ending.stored_by())
            for writing in storing:
                writing.cancel()
            self._requests.save()
        self._fleet.release()

    def database_was_away(self, why: str, away_s: float) -> None:
        """Tell people of it, now that it can be stored; not of a mere hiccup."""
        if away_s >= TOLD_FROM_S:
            self._chronicle.note("database_away", distinct=why, why=why, away_s=round(away_s, 1))

    # Beginning and end -----------------------------------------------------------------------------------------------

    async def _take_over(self, *, own_boot: bool) -> None:
        rows = await self._store.wanted()  # kept, so the first reconciliation reads nothing anew
        if own_boot:
            rows = newest(rows, self._unstored.read())
        else:
            rows = [replace(row, status=replace(row.status, pid=None, process_started_at=None)) for row in rows]
        self._forks.count_from(await self._rollover_store.last_server())
        seen_at = await self._store.last_seen(SLOT)
        await self._sessions.load(seen_at)
        adopted = self._fleet.adopt(rows, seen_at)
        self._requests.remember()
        await self._control.start()
        if left := self._isolation.left_behind([row.bot.id for row in rows]):
            self._forget_folders(left)
        log.info("supervisor.started", bots=len(rows), adopted=adopted)

    # Loops -----------------------------------------------------------------------------------------------------------

    async def _reconcile_for_ever(self) -> None:
        while not self._stopping:
            try:
                await self._reconcile()
            except RetryError as fault:
                log.warning("supervisor.database_away", error=fault.message)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), self._settings.poll_interval_s)
            self._look_now.clear()

    async def _reconcile(self) -> None:
        rows = await self._store.wanted()
        if self._stopping:
            return
        self._isolation.prepare(row.bot.id for row in rows)
        droppable = self._fleet.reconcile(row.bot for row in rows)
        for row in rows:
            self._containment.retry(row.bot, "requests", self._answer_requests, row)
        if droppable:
            self._isolation.leave(droppable)
            await self._store.drop(droppable)
            self._forget_folders(droppable)
            for bot_id in droppable:
                self._containment.forget(bot_id)
                self._chronicle.forget(bot_id)
                self._heaps.forget(bot_id)
                self._sessions.forget(bot_id)
                self._findings.forget(bot_id)
                self._configs.forget(bot_id)
                self._metrics.forget(bot_id)
                self._command_orders.forget(bot_id)
                self._tokens.forget(bot_id)
                self._admission.forget(bot_id)
            log.info("supervisor.bots_removed", bots=droppable)
            self._look_now.set()

    def _forget_folders(self, bot_ids: Collection[str]) -> None:
        spawn("removal of what bots have kept", self._isolation.forget(bot_ids, self._reaper.may_live))

    def _tick(self) -> None:
        self._reaper.look()
        self._fleet.tick()

    def _answer_requests(self, row: FleetRow) -> None:
        self._diagnosis.answer_requests(self._fleet, (row,))
        self._heaps.answer_requests(self._fleet, (row,))
        self._command_orders.tell_news((row.bot,))

    async def _listen_for_nudges(self) -> None:
        async with self._nudges.listen() as taps:
            async for _ in taps:
                self._look_now.set()
                self._rollovers.look()

    async def _note_adoption(self) -> None:
        """Say when every adopted worker has made itself known, and store that they were heard of."""
        now = asyncio.get_running_loop().time
        began = now()
        adopted = [member for member in self._fleet if member.process is not None]
        waiting = {member.bot.id: member.worker.generation for member in adopted}
        while waiting:
            if now() - began > FORK_SERVER_AFTER_S:
                self._forks.need()
            for bot_id, generation in list(waiting.items()):
                member = self._fleet.get(bot_id)
                if member is None or member.process is None or member.worker.generation != generation:
                    del waiting[bot_id]
                elif member.unheard_since is None:
                    del waiting[bot_id]
                    member.heartbeat_at = datetime.now(UTC)
                    self._journal.put(member.status())
            await asyncio.sleep(TICK_S)
        self._forks.need()
        if adopted:
            with contextlib.suppress(RetryError):
                await self._tokens.learn(member.bot.id for member in adopted)
        self._reaper.all_adopted()
        log.info("supervisor.adoption_complete", adopted=len(adopted), after_s=round(now() - began, 2))
        # Not sooner: the digest takes as long as to adopt a few bots.
        await asyncio.to_thread(record_release, self._settings, "supervisor")

    def _open_metrics(self) -> tuple[LiveMetrics, Away]:
        # Imported late, as the client of the nudges: it takes as long as to start a few bots.
        live, valkey = import_module("flotilla.live_metrics"), import_module("flotilla.valkey")
        return live.ValkeyMetrics(self._settings.effective_redis_url, SLOT), valkey.AWAY

    async def _discord_answers(self) -> bool:
        return await asyncio.to_thread(_discord_answers, self._settings)

    def _preload(self) -> Preload:
        """Return what a fork server that is started now imports: the code of the bots that may start.

        Not of those that gave up: what is wrong with one of them must not keep the others from new code.
        """
        settings = self._settings
        path = () if settings.extensions_path is None else (str(settings.extensions_path),)
        running = [m for m in self._fleet if is_wanted(m.bot) and m.worker.state is not State.FATAL]
        names = own_code(settings.extensions, (member.bot.config for member in running))
        secrets = tuple(sorted({name for member in running for name in member.bot.secret_names}))
        return Preload(names, path, settings.merge_memory, settings.preload_timeout_s, secrets)

    # Effects ---------------------------------------------------------------------------------------------------------

    def _configure(self, member: Member) -> None:
        self._control.configure(member)
        self._isolation.apply(member)

    def _config_changed(self, member: Member) -> None:
        self._configs.changed(member)

    def _tell(self, bot_id: str, message: ToWorker) -> bool:
        return self._control.tell(bot_id, message)

    def _spawn(self, member: Member, secret: bytes) -> None:
        member.fork_server = None  # until it is known which one has made the process
        self._configs.starting(member)
        bot, generation = member.bot, member.worker.generation
        try:
            require_descriptors(self._fleet.starting)
            bounds = self._isolation.bounds(member)
        except (OSError, FlotillaError) as fault:
            self._host_faults.note(str(fault), fault if isinstance(fault, OSError) else None)
            # Not at once: the order comes out of a step that is not done yet.
            asyncio.get_running_loop().call_soon(self._fleet.fork_failed, bot.id, generation, str(fault))
            return
        self._forks.fork(
            Fork(
                bot.id,
                bot.name,
                generation,
                secret,
                str(self._settings.control_socket),
                str(log_file(self._settings.log_dir, bot.name)),
                str(self._settings.session_file(bot.id)),
                bounds,
            )
        )

    def _forked(self, message: Forked, fork_server: int) -> None:
        member = self._fleet.get(message.bot_id)
        if member is not None:
            self._containment.attempt(member.bot, "fork", self._hold, member, message, fork_server)

    def _hold(self, member: Member, message: Forked, fork_server: int) -> None:
        if member.worker.generation == message.generation:
            member.fork_server = fork_server
        self._fleet.forked(message.bot_id, message.generation, message.pid, message.started_at or None)

    def _fork_failed(self, message: ForkFailed) -> None:
        self._host_faults.note(message.why)
        member = self._fleet.get(message.bot_id)
        if member is not None:
            fail = self._fleet.fork_failed
            self._containment.attempt(member.bot, "fork", fail, message.bot_id, message.generation, message.why)

    def _ended(self, member: Member, generation: int, process: WorkerProcess) -> None:
        self._reaper.ended(member, generation, process)

    def _lost(self, member: Member, status: BotStatus) -> bool:
        self._reaper.lost(member, status)
        return True

    def _gone(self, member: Member, end: Exit) -> None:
        self._diagnosis.note_exit(member, end)
        self._rollovers.note_exit(member, end)

    def _do_when_stored(self, act: Callable[[], None]) -> None:
        async def do() -> None:
            await self._journal.stored()
            await self._configs.writer.stored()  # what there is to go back to, whatever becomes of this supervisor
            if not self._stopping:
                act()

        spawn("restarts that wait for the database", do())

    def _given_up(self, member: Member) -> None:
        why = member.worker.reason or ""
        self._chronicle.note("fatal", member.bot.id, member.bot.name, distinct=why, reason=why)


def _discord_answers(settings: Settings) -> bool:
    # Imported when it is needed, which is hardly ever: it takes as long as to start a few bots.
    probes = import_module("flotilla.launch.probes")
    try:
        probes.discord_reachable(settings)
    except RetryError:
        return False
    return True
