"""One worker's life after the fork: meet the supervisor, get the token, run the bot, end as asked."""

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from flotilla.discord import application_id_of
from flotilla.errors import FixInputError
from flotilla.protocol import (
    Answered,
    CommandsStored,
    Failing,
    Fork,
    GuildsChanged,
    HappenedStored,
    Heap,
    Reconfigure,
    SyncCommands,
    TakeHeap,
    Welcome,
    Without,
    WorkerConfig,
)
from flotilla.redaction import redact_text
from flotilla.tasks import SideTaskError, awaited, spawn, telling
from worker_bot import (
    asking,
    authoring,
    callbacks,
    command_sync,
    drops,
    heap,
    itself,
    own_secrets,
    rest,
    sealed,
    stacks,
    tracebacks,
)
from worker_bot.bot import Bot
from worker_bot.command_logs import CommandLogs
from worker_bot.command_sync import CommandSync, tell_supervisor
from worker_bot.configuring import Configuring
from worker_bot.confinement import WorkerMemory, name_of
from worker_bot.fetching import Fetcher
from worker_bot.guard import InteractionGuard
from worker_bot.guild_configs import GuildConfigs
from worker_bot.happenings import Happenings
from worker_bot.identify import IdentifyGate
from worker_bot.link import Link, RefusedError
from worker_bot.metrics import Metrics
from worker_bot.orders import Orders
from worker_bot.output import Output
from worker_bot.probes import Probes
from worker_bot.requests import RequestGuard
from worker_bot.session import Continuity
from worker_bot.switched_off import SwitchedOff
from worker_bot.triage import TokenRefusedError, reason_of

COMMANDS = "commands.json"
"""File beside a worker's session: what of its commands is registered with Discord."""

LEFT_LOGS = "command-logs"
"""File beside a worker's session, with command logs that may not be safe yet."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_REFUSED = 3
HAND_OVER = signal.SIGUSR1
"""Asks a worker to leave its session to the next one; SIGTERM asks it to end the session."""

WELCOME_TIMEOUT_S = 300.0
"""A supervisor may stand still for a while, and ends by its own deadline whom it does not welcome."""

CLOSE_TIMEOUT_S = 4.0
CANCEL_TIMEOUT_S = 1.0
MAX_LOOKS = 4
BEATS_TOGETHER = 20
"""Moments within one heartbeat's time at which workers beat: every 100 ms if they beat every 2 s."""

MEASURE_EVERY = 30
"""Heartbeats between two looks at the own page tables, which take about a millisecond."""

MEASURE_FIRST = 5
"""Heartbeats before the first: a fleet that starts has better things to do."""

log = logging.getLogger("flotilla.worker")


async def run_worker(
    fork: Fork, stop: asyncio.Event | None = None, link: Link | None = None, output: Output | None = None
) -> int:
    """Run one bot until SIGTERM, its own end, the end of its connection, or a refusal; return the exit code.

    stop: set, it does what SIGTERM does. link: not connected yet. output: the bot's log, if it has one.
    """
    failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
    failed.add_done_callback(asyncio.Future.exception)  # the log has it, also when nobody waits for it any more

    def fail(name: str, error: BaseException) -> None:
        log.critical("%s failed", name, exc_info=error)
        if not failed.done():
            failed.set_exception(SideTaskError(name, error))

    with telling(fail):
        link = link or Link(Path(fork.control_path), fork.bot_id, fork.generation, fork.secret)
        return await _live(fork, stop or asyncio.Event(), link, output, failed)


async def _live(
    fork: Fork, stop: asyncio.Event, link: Link, output: Output | None, failed: "asyncio.Future[NoReturn]"
) -> int:
    hand_over = asyncio.Event()
    _install_handlers(stop, hand_over, link)
    stacks.install()
    guard = RequestGuard()
    rest.install(guard)
    orders = Orders(guard, IdentifyGate(link.send))
    fetcher = Fetcher(Path(fork.control_path), fork.bot_id, fork.generation, fork.secret)
    orders.output = output
    if output is not None and _is_confined(fork):
        output.fetch = fetcher.log
    linking = awaited(link.keep(orders.take))
    bots: list[Bot] = []
    serving = awaited(_serve(fork, link, orders, bots, guard, fetcher, failed))
    stopping = awaited(stop.wait())
    handing = awaited(_hand_over(hand_over, bots))
    done, _ = await asyncio.wait({linking, serving, stopping, handing}, return_when=asyncio.FIRST_COMPLETED)
    if handing in done and bots:
        if (error := handing.exception()) is not None:
            return await _fail(link, SideTaskError("the hand-over", error))
        guard.flush(link.report_invalid)
        await sealed.stay(bots[0].continuity, link, orders, linking, stop)
        _leave(EXIT_OK)
    if stopping not in done and linking in done:
        await _hear_refusal(linking, bots)
        _leave(EXIT_REFUSED)
    if serving in done:
        linking.cancel()
        return serving.result()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    linking.cancel()
    return EXIT_OK


def _install_handlers(stop: asyncio.Event, hand_over: asyncio.Event, link: Link) -> None:
    def end(number: signal.Signals) -> None:
        # Its exit code will be 0. A supervisor that has not asked for this must not take it for a clean end.
        link.send(Failing("killed", f"{number.name}, which somebody else may have sent"))
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(HAND_OVER, hand_over.set)


async def _hear_refusal(linking: asyncio.Task[None], bots: list[Bot]) -> None:
    """Leave the session to whoever comes next: a supervisor of another release, or the worker that replaced this one.

    To close it would cost that one an IDENTIFY, or even end the session that it goes on with.
    """
    try:
        await linking
    except RefusedError as refusal:
        log.warning("refused by the supervisor: %s", refusal)
    for bot in bots:
        await bot.hand_over()


async def _hand_over(asked: asyncio.Event, bots: list[Bot]) -> None:
    """Return when the next worker may go on. Without a bot yet there is none to hand over."""
    await asked.wait()
    for bot in bots:
        await bot.hand_over()


def _leave(code: int) -> NoReturn:
    """End at once: an orderly end would close the session. The kernel closes the socket, which keeps it resumable."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _is_confined(fork: Fork) -> bool:
    """Return whether this worker reaches only what was there when it was started."""
    return fork.bounds.walls is not None or fork.bounds.uid is not None


def _continuity(fork: Fork, link: Link, fetcher: Fetcher) -> Continuity:
    def cannot_keep(fault: OSError) -> None:
        link.report_without(Without("session", name_of(fault)))

    try:
        continuity = Continuity(Path(fork.session_path) if fork.session_path else None)
    except OSError as fault:
        log.warning("the session cannot be kept, so the next start will be a cold one: %s", fault)
        cannot_keep(fault)
        return Continuity()
    continuity.cannot_keep = cannot_keep
    if _is_confined(fork):
        continuity.fetch = fetcher.session
    return continuity


async def _serve(
    fork: Fork,
    link: Link,
    orders: Orders,
    bots: list[Bot],
    guard: RequestGuard,
    fetcher: Fetcher,
    failed: "asyncio.Future[NoReturn]",
) -> int:
    message = await asyncio.wait_for(orders.welcome, WELCOME_TIMEOUT_S)
    if message.token is None:
        log.error("the supervisor sent no token to a worker that has none")
        return EXIT_FAILED

    own_secrets.take(message.token, message.secrets)
    with contextlib.suppress(FixInputError):  # Discord says what it thinks of such a token
        guard.own(application_id_of(message.token))

    memory = WorkerMemory(bounded=fork.bounds.growth_bytes is not None)

    async def on_ready() -> None:
        guard.starting = False
        # What a start copies is copied now, so the bound can be near enough before anybody uses the bot.
        with contextlib.suppress(MemoryError):
            memory.estimate()
            memory.move_bound(orders.limits.memory_bound_bytes)
        orders.gate.was_ready = True
        link.report_ready(ready=True, resumed=bot.resumed)
        configuring.up()

    async def on_lost() -> None:
        link.report_ready(ready=False)

    continuity, config = _continuity(fork, link, fetcher), message.config.bot
    authoring.install(lambda: config, None)
    try:
        bot = Bot(
            message.token, message.config, on_ready=on_ready, on_lost=on_lost, continuity=continuity, gate=orders.gate
        )
    except Exception as error:  # noqa: BLE001 - the bot's own code makes it
        return await _fail(link, error)
    bots.append(bot)
    metrics = guard.metrics = Metrics(link.send, message.config.metrics_every_s)
    probes = _look_after(bot, fork, link, orders, metrics, guard)
    configuring = _configure(bot, message.config, fork.generation, link, orders)
    _look_after_commands(message, fork, orders)
    del message
    link.running = True
    beating = spawn("the heartbeat", _beat(link, bot, orders, memory, probes, metrics))
    reporting = spawn("the report of invalid requests", guard.report(link.report_invalid))
    orders.hear(TakeHeap, _HeapAnswers(link, bot).take)
    try:
        await _run(bot, guard, failed)
    except Exception as error:  # noqa: BLE001 - `triage` says what it is
        return await _fail(link, error)
    else:
        if bot.ended_itself:
            log.info("the bot's own code has closed it")
            await link.report_failing("exited", "its own code calls bot.close()")
            return EXIT_OK
        await link.report_failing("crashed", "the gateway connection ended without an error")
        return EXIT_FAILED
    finally:
        beating.cancel()
        reporting.cancel()
        guard.flush(link.report_invalid)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(bot.close(), CLOSE_TIMEOUT_S)


async def _fail(link: Link, error: Exception) -> int:
    """Tell the supervisor and the bot's log what ended a run; return the exit code."""
    code, detail = reason_of(error), redact_text(f"{type(error).__name__}: {error}")
    # A traceback helps where the bot's own code is at fault; for a refused token it only hides the sentence.
    story = f"\n{tracebacks.of(error)}" if code == "bot_code_failed" else ""
    log.error("the bot's run ended (%s): %s%s", code, detail, story)
    await link.report_failing(code, detail)
    return EXIT_OK if code == "exited" else EXIT_FAILED


def _look_after_commands(message: Welcome, fork: Fork, orders: Orders) -> None:
    """Let the bot's commands be registered when they differ."""
    try:
        application_id = application_id_of(message.token or "")
    except FixInputError:
        return  # Discord says what it thinks of such a token
    path = Path(fork.session_path).with_name(COMMANDS) if fork.session_path else None
    sync = CommandSync(path, int(application_id), tell_supervisor, epoch=message.config.commands_epoch)
    orders.hear(SyncCommands, lambda order: sync.order(order.commands_epoch))
    orders.hear(Welcome, lambda again: sync.order(again.config.commands_epoch))
    command_sync.install(sync)


def _look_after(bot: Bot, fork: Fork, link: Link, orders: Orders, metrics: Metrics, guard: RequestGuard) -> Probes:
    """Put the guard, the logs, the questions and the probes around a bot."""
    folder = Path(fork.session_path).parent if fork.session_path else None
    command_logs = CommandLogs(link.send, folder and folder / LEFT_LOGS, count=metrics.command)
    happenings = Happenings(link.send, folder, bot.cache)
    drops.install(happenings.dropped)
    guard.answered_elsewhere = happenings.answered_elsewhere
    orders.hear(HappenedStored, lambda message: happenings.stored(message.number))
    orders.hear(CommandsStored, lambda message: command_logs.stored(message.number))
    questions = asking.Asking(link.send)
    orders.hear(Answered, questions.answered)
    asking.install(questions)
    answers = InteractionGuard(lambda: callbacks.Wire(bot.rest), lambda: orders.limits, command_logs.judged)
    callbacks.install(answers)
    callbacks.watch(command_logs)

    async def before_leaving() -> None:
        await answers.finish()
        command_logs.leave()
        happenings.leave()
        metrics.leave()

    bot.before_leaving = before_leaving
    probes = Probes(bot, answers, command_logs, metrics, happenings)
    bot.continuity.see = probes.see
    return probes


def _configure(bot: Bot, config: WorkerConfig, generation: int, link: Link, orders: Orders) -> Configuring:
    """Let the bot's config, and those of its guilds, be seen by its code and changed while it runs."""
    configuring = Configuring(config, bot.show, link.send)
    guilds = GuildConfigs(asking.ask)
    orders.hear(Reconfigure, configuring.take)
    orders.hear(GuildsChanged, guilds.take)
    authoring.install(lambda: configuring.bot, guilds)
    itself.install(
        itself.Itself(
            generation,
            lambda: configuring.bot,
            lambda: configuring.version,
            guilds.of,
            guilds.known,
            guilds.change,
        )
    )
    callbacks.gate(SwitchedOff(guilds.of))
    link.versions = lambda: (configuring.version, guilds.version)
    return configuring


async def _run(bot: Bot, guard: RequestGuard, failed: "asyncio.Future[NoReturn]") -> None:
    """Run the bot until it ends.

    Raises TokenRefusedError when its requests show that its token is dead, and SideTaskError when what goes on beside
    it has failed: without its heartbeat it would be taken for one whose event loop is blocked.
    """
    running, refused = awaited(bot.run()), awaited(guard.token_refused.wait())
    try:
        ends: set[asyncio.Future[Any]] = {running, refused, failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if failed.done() and not running.done():
            await failed
        if not running.done():
            raise TokenRefusedError("Discord answers each of this bot's requests with 401")
        await running
    finally:
        refused.cancel()
        running.cancel()
        await asyncio.wait({running}, timeout=CANCEL_TIMEOUT_S)


class _HeapAnswers:
    """Looks at the heap beside everything else; a request beyond `MAX_LOOKS` at once is not answered."""

    def __init__(self, link: Link, bot: Bot) -> None:
        self._link = link
        self._bot = bot
        self._looking: set[asyncio.Task[None]] = set()

    def take(self, asked: TakeHeap) -> None:
        if len(self._looking) < MAX_LOOKS:
            task = spawn("a look at the heap", self._answer(asked))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _answer(self, asked: TakeHeap) -> None:
        try:
            report = await heap.look(self._bot.cache, self._bot.packages, brief=asked.brief, trace_s=asked.trace_s)
        except Exception:
            log.exception("the heap could not be looked at")
        else:
            self._link.report_heap(Heap(asked.number, report))


def pause_s(heartbeat_s: float, now: float) -> float:
    """Return seconds until the next heartbeat: within `heartbeat_s`, when others of this host beat as well.

    So their supervisor wakes up for many at a time. now: monotonic second, which is the same for all processes.
    """
    together_s = heartbeat_s / BEATS_TOGETHER
    return heartbeat_s - (now + heartbeat_s) % together_s


async def _beat(link: Link, bot: Bot, orders: Orders, memory: WorkerMemory, probes: Probes, metrics: Metrics) -> None:
    for number in itertools.count():
        # At its bound a bot may lack memory even for this; it is not its event loop that is at fault then.
        with contextlib.suppress(MemoryError):
            if number % MEASURE_EVERY == MEASURE_FIRST:
                memory.measure()
            memory.move_bound(orders.limits.memory_bound_bytes)
            link.report_beat(bot.latency_ms, memory.shared_bytes)
            if orders.output is not None:
                orders.output.look()
            if (probed := probes.look(orders.limits)) is not None:
                link.report_probed(probed)
            metrics.tell(bot.cache)
        if number == 1:
            gc.enable()  # it is off in the fork server; a start makes little garbage, and has no time to look for it
        began, wait_s = time.monotonic(), pause_s(orders.limits.heartbeat_s, time.monotonic())
        await asyncio.sleep(wait_s)
        metrics.lagged(time.monotonic() - began - wait_s)
