"""The fleet without processes: who is started when, and what is remembered. No fork server ever answers here."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flotilla.domain.bots import Bot, BotStatus, Desired
from flotilla.domain.diagnosis import Exit
from flotilla.domain.policy import MIB, Overrides, Policy
from flotilla.domain.sessions import Cause
from flotilla.domain.worker import BecameReady, Exited, HandedOver, Heartbeat, LostReady, Renew, Restart, State
from flotilla.ports import FleetRow
from flotilla.processes import start_ticks
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.predecessors import LATE_S
from supervisor.shell import Shell
from tests.builders import none_refused
from tests.fakes.fleet import MemoryFleetStore
from tests.stack import until

NOW = datetime.now(UTC)


def bot(number: int, desired: Desired = Desired.RUNNING, epoch: int = 0, *, deleted: bool = False) -> Bot:
    return Bot(str(number), f"bot-{number}", str(number), (), desired, epoch, NOW, NOW if deleted else None)


class Host:
    """A fleet whose orders to spawn are kept in a list."""

    def __init__(self, concurrency: int = 4) -> None:
        self.spawned: list[tuple[str, int]] = []
        self.dumped: list[Member] = []
        self.ends: list[Exit] = []
        self.configured: list[Member] = []
        self.withheld: tuple[str, float] | None = None
        self.database_hangs = False
        self.later_s = 0.0
        self.afterwards: list[Callable[[], None]] = []
        self.store = MemoryFleetStore()
        self.journal = Journal(self.store, none_refused)
        self.fleet = Fleet(
            Policy(),
            self.journal,
            Shell(
                spawn=self.spawn,
                on_exit=lambda *_: None,
                dump_stacks=self.dumped.append,
                on_gone=lambda _, end: self.ends.append(end),
                on_policy=self.configured.append,
                withhold=lambda _: self.withheld,
                when_stored=self.when_stored,
            ),
            spawn_concurrency=concurrency,
            clock=lambda: time.monotonic() + self.later_s,
        )

    def when_stored(self, act: Callable[[], None]) -> None:
        if self.database_hangs:
            self.afterwards.append(act)
        else:
            act()

    def spawn(self, member: Member, secret: bytes) -> None:
        assert len(secret) == 32
        self.spawned.append((member.bot.id, member.worker.generation))

    async def recorded(self) -> list[tuple[State, bool, bool]]:
        """Return state, ready and expected of every transition."""
        for member in self.fleet:
            self.store.put(member.bot)
        await self.journal.writer.flush()
        return [(row.state, row.ready, row.expected) for row in self.store.transitions]

    def member(self, number: int) -> Member:
        member = self.fleet.get(str(number))
        assert member is not None
        return member


@pytest.fixture
def host() -> Host:
    return Host()


async def test_a_herd_is_let_in_by_and_by_in_its_order(host: Host) -> None:
    bots = [bot(number) for number in range(10)]
    host.fleet.reconcile(bots)
    assert [name for name, _ in host.spawned] == ["0", "1", "2", "3"]
    host.fleet.reconcile(bots)
    assert len(host.spawned) == 4
    stopped = [bot(0, Desired.STOPPED), *bots[1:]]
    host.fleet.reconcile(stopped)
    await asyncio.sleep(0)
    assert [name for name, _ in host.spawned] == ["0", "1", "2", "3", "4"]


async def test_a_bot_that_is_no_longer_wanted_is_not_started_when_its_turn_comes(host: Host) -> None:
    host.fleet.reconcile([bot(number) for number in range(6)])
    host.fleet.reconcile([bot(0, Desired.STOPPED), *(bot(n) for n in (1, 2, 3)), bot(4, Desired.STOPPED), bot(5)])
    await asyncio.sleep(0)
    assert [name for name, _ in host.spawned] == ["0", "1", "2", "3", "5"]


def test_a_newer_epoch_is_answered_by_the_next_incarnation(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.reconcile([bot(1, epoch=1)])
    assert host.member(1).worker.state is State.STOPPING
    host.fleet.fork_failed("1", 1, "EAGAIN")
    assert (host.spawned, host.member(1).epoch) == ([("1", 1), ("1", 2)], 1)


@pytest.mark.parametrize("event", [Renew(1, "config_changed"), Restart()])
async def test_worker_that_serves_goes_on_until_its_restart_can_be_written_down(
    host: Host, event: Renew | Restart, child: int
) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.forked("1", 1, child, start_ticks(child))
    member = host.member(1)
    host.fleet.apply(member, BecameReady(1))
    await host.recorded()
    host.database_hangs = True
    for _ in range(2):
        host.fleet.apply(member, event)
    assert member.worker.state is State.RUNNING
    (restart,) = host.afterwards
    assert list(host.journal.writer.waiting()), "there is something whose storing shows that more can be stored"
    restart()
    assert (member.worker.state, member.worker.restart) == (State.STOPPING, True)


async def test_restart_that_could_not_be_written_down_is_off_when_the_bot_is_stopped_meanwhile(
    host: Host, child: int
) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.forked("1", 1, child, start_ticks(child))
    member = host.member(1)
    host.fleet.apply(member, BecameReady(1))
    host.database_hangs = True
    host.fleet.apply(member, Restart())
    host.fleet.reconcile([bot(1, Desired.STOPPED)])
    (restart,) = host.afterwards
    restart()
    assert (member.worker.state, member.worker.restart) == (State.STOPPING, False)


def test_a_removed_bot_is_dropped_once_it_has_stopped(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    assert host.fleet.reconcile([bot(1, deleted=True)]) == []
    host.fleet.fork_failed("1", 1, "EAGAIN")
    assert host.fleet.reconcile([bot(1, deleted=True)]) == ["1"]
    host.fleet.reconcile([])
    assert host.fleet.get("1") is None


def test_a_row_that_vanished_stops_its_worker_before_it_is_forgotten(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.reconcile([])
    assert host.member(1).worker.state is State.STOPPING
    host.fleet.fork_failed("1", 1, "EAGAIN")
    host.fleet.reconcile([])
    assert host.fleet.get("1") is None


def test_an_event_that_cannot_happen_changes_nothing(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    before = host.member(1).worker
    host.fleet.apply(host.member(1), Heartbeat(99))
    assert host.member(1).worker == before


def test_news_of_an_unknown_bot_is_ignored(host: Host) -> None:
    host.fleet.forked("nobody", 1, 1, None)
    host.fleet.fork_failed("nobody", 1, "EAGAIN")
    host.fleet.exited("nobody", 1, 0)
    assert list(host.fleet) == []


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING])
def test_a_worker_that_died_unseen_is_started_again(host: Host, state: State) -> None:
    status = BotStatus("1", state, generation=7, pid=2**22 - 1, process_started_at=1)
    assert host.fleet.adopt([FleetRow(bot(1), status)]) == 0
    assert host.spawned == [("1", 8)]


def test_a_worker_that_was_to_stop_and_died_unseen_is_stopped(host: Host) -> None:
    status = BotStatus("1", State.STOPPING, generation=7, pid=2**22 - 1, process_started_at=1)
    host.fleet.adopt([FleetRow(bot(1, Desired.STOPPED), status)])
    assert (host.member(1).worker.state, host.spawned) == (State.STOPPED, [])


def test_a_spawn_that_the_supervisor_before_had_ordered_is_ordered_anew(host: Host) -> None:
    host.fleet.adopt([FleetRow(bot(1), BotStatus("1", State.STARTING, generation=7))])
    assert host.spawned == [("1", 8)]


def test_backoff_and_fatal_are_remembered_with_their_failures(host: Host) -> None:
    waiting = BotStatus("1", State.BACKOFF, reason="crashed", generation=7, failures=3)
    given_up = BotStatus("2", State.FATAL, reason="token_refused", generation=1)
    host.fleet.adopt([FleetRow(bot(1), waiting), FleetRow(bot(2), given_up)])
    host.fleet.reconcile([bot(1), bot(2)])
    assert host.spawned == []
    assert (host.member(1).worker.failures, host.member(1).worker.reason) == (3, "crashed")
    assert host.member(2).worker.state is State.FATAL


def test_a_bot_that_kept_failing_is_given_up_though_the_supervisor_died_between(host: Host) -> None:
    period_s, intensity = Policy().intensity_period_s, Policy().intensity
    failed_at = (time.time() - period_s - 1, *(time.time() - n for n in range(intensity - 1)), time.time() + 3600)
    status = BotStatus("1", State.RUNNING, True, None, 7, pid=2**22 - 1, process_started_at=1, failed_at=failed_at)
    host.fleet.adopt([FleetRow(bot(1), status)])
    assert (host.member(1).worker.state, host.member(1).worker.reason) == (State.FATAL, "crash_loop")


def test_failures_that_are_older_than_the_period_are_forgotten_by_the_next_supervisor(host: Host) -> None:
    failed_at = (time.time() - Policy().intensity_period_s - 1,)
    waiting = BotStatus("1", State.BACKOFF, False, "crashed", 7, failures=3, failed_at=(*failed_at, time.time() - 60))
    host.fleet.adopt([FleetRow(bot(1), waiting)])
    (kept,) = host.member(1).status().failed_at
    assert kept == pytest.approx(time.time() - 60, abs=30)


def test_the_end_of_a_worker_is_told_once_with_its_reason(host: Host) -> None:
    status = BotStatus("1", State.RUNNING, generation=7, pid=2**22 - 1, process_started_at=1)
    stopping = BotStatus("2", State.STOPPING, reason="memory_limit", generation=3, pid=2**22 - 1, process_started_at=1)
    resting = BotStatus("3", State.FATAL, reason="token_refused", generation=1)
    bots = [bot(1), bot(2), bot(3)]
    host.fleet.adopt(map(FleetRow, bots, (status, stopping, resting)))
    host.fleet.exited("1", 7, -9)
    host.fleet.exited("3", 1, -9)
    assert [(end.bot_id, end.generation, end.exit_code, end.reason) for end in host.ends] == [
        ("1", 7, None, "unseen"),
        ("2", 3, None, "memory_limit"),
    ]


def test_stop_all_leaves_what_is_wanted_to_the_next_supervisor(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.stop_all()
    assert not host.fleet.idle()
    host.fleet.fork_failed("1", 1, "EAGAIN")
    assert host.fleet.idle()
    assert host.member(1).status().state is State.STOPPED


async def test_a_bot_is_expected_to_be_up_from_ready_until_it_is_stopped_on_purpose(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.apply(host.member(1), BecameReady(1))
    host.fleet.exited("1", 1, -9)
    host.fleet.apply(host.member(1), BecameReady(2))
    host.fleet.reconcile([bot(1, Desired.STOPPED)])
    host.fleet.exited("1", 2, 0)
    assert await host.recorded() == [
        (State.STARTING, False, False),
        (State.RUNNING, True, True),
        (State.STARTING, False, True),
        (State.RUNNING, True, True),
        (State.STOPPING, False, False),
        (State.STOPPED, False, False),
    ]


async def test_nothing_is_expected_during_a_restart_that_was_asked_for(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    host.fleet.apply(host.member(1), BecameReady(1))
    host.fleet.reconcile([bot(1, epoch=1)])
    host.fleet.reconcile([bot(1, Desired.STOPPED, epoch=1)])
    assert (await host.recorded())[2:] == [(State.STOPPING, False, False)], "also if a stop follows"


SEEN = NOW - timedelta(hours=1)
"""When the supervisor before was last seen."""


@pytest.fixture
def child() -> Iterator[int]:
    """The pid of a process that may be adopted, and signalled."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # as its child will, until that is changed
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    signal.signal(signal.SIGUSR1, before)
    yield process.pid
    process.kill()
    process.wait()


def adopt(host: Host, pid: int, desired: Desired = Desired.RUNNING) -> None:
    """Adopt a bot that was RUNNING and READY for an hour when its supervisor was last seen."""
    since = SEEN - timedelta(hours=1)
    status = BotStatus(
        "1", State.RUNNING, ready=True, generation=3, pid=pid, process_started_at=start_ticks(pid), since=since
    )
    assert host.fleet.adopt([FleetRow(bot(1, desired), status)], SEEN) == 1


@pytest.mark.parametrize("event", [LostReady(3), Exited(3, None, 0.5)], ids=lambda event: type(event).__name__)
async def test_an_adopted_worker_found_lost_is_down_since_its_supervisor_was_last_seen(
    host: Host, child: int, event: LostReady | Exited
) -> None:
    adopt(host, child)
    host.fleet.apply(host.member(1), event)
    rows = await host.recorded()
    assert rows[0] == (State.RUNNING, False, True)
    assert (len(rows), rows[1][1:]) == (2, (False, True))
    assert host.store.transitions[0].at == SEEN
    assert host.store.transitions[1].at >= NOW


async def test_an_adopted_worker_that_was_heard_of_is_down_only_from_its_loss_on(host: Host, child: int) -> None:
    adopt(host, child)
    host.fleet.apply(host.member(1), Heartbeat(3))
    assert await host.recorded() == []
    host.fleet.apply(host.member(1), LostReady(3))
    assert await host.recorded() == [(State.RUNNING, False, True)]
    (row,) = host.store.transitions
    assert row.at >= NOW


async def test_an_adopted_worker_that_is_stopped_at_once_was_up_till_then(host: Host, child: int) -> None:
    adopt(host, child)
    host.fleet.reconcile([bot(1, Desired.STOPPED)])
    assert await host.recorded() == [(State.STOPPING, False, False)]


async def test_a_worker_lost_while_it_was_not_wanted_any_more_is_no_downtime(host: Host, child: int) -> None:
    adopt(host, child, Desired.STOPPED)
    host.fleet.apply(host.member(1), Exited(3, None, 0.5))
    assert not any(expected for _, _, expected in await host.recorded())


def test_a_policy_that_changes_holds_from_now_on(host: Host) -> None:
    host.fleet.reconcile([bot(1)])
    assert host.member(1).policy == Policy()
    host.fleet.reconcile([replace(bot(1), overrides=Overrides(memory_limit_mb=64))])
    assert host.member(1).policy.memory_limit_bytes == 64 * MIB
    assert host.configured == []  # there is no process to tell
    host.fleet.reconcile([bot(1)])
    assert host.member(1).policy == Policy()


# Session starts ------------------------------------------------------------------------------------------------------


async def test_bot_whose_session_start_is_withheld_rests_until_then_and_an_asked_start_tries_again(host: Host) -> None:
    host.withheld = ("session_budget", 3600.0)
    host.fleet.reconcile([bot(0)])
    await asyncio.sleep(0)
    worker = host.member(0).worker
    assert (worker.state, worker.reason, host.spawned) == (State.BACKOFF, "session_budget", [])
    assert (worker.deadline or 0) - asyncio.get_running_loop().time() == pytest.approx(3600, abs=5)
    assert host.member(0).start_cause == Cause.FIRST
    host.fleet.tick()
    host.withheld = None
    host.fleet.reconcile([bot(0, epoch=1)])
    assert host.spawned == [("0", 2)]
    assert host.member(0).start_cause == Cause.ASKED


async def test_cause_of_each_start_is_known(host: Host) -> None:
    host.fleet.reconcile([bot(0, Desired.STOPPED), bot(1)])
    host.fleet.reconcile([bot(0), bot(1)])
    assert (host.member(0).start_cause, host.member(1).start_cause) == (Cause.ASKED, Cause.FIRST)
    host.fleet.exited("0", 1, 1)
    assert host.spawned[-1] == ("0", 2)
    assert host.member(0).start_cause == Cause.CRASH


# Handing over --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def handed_over(host: Host, child: int) -> Member:
    """A bot whose worker of generation 3 has handed over and lives on; generation 4 is ordered."""
    adopt(host, child)
    host.fleet.reconcile([bot(1)])
    member = host.member(1)
    host.fleet.apply(member, Renew(3, "deaf"))
    host.fleet.apply(member, HandedOver(3))
    return member


async def test_worker_that_has_handed_over_is_the_bots_process_no_more(host: Host, handed_over: Member) -> None:
    assert host.spawned == [("1", 4)]
    assert (handed_over.process, handed_over.worker.pid, handed_over.status().process_started_at) == (None, None, None)
    assert host.ends == []
    host.fleet.exited("1", 3, 0)
    host.fleet.exited("1", 3, 0)
    assert [(end.generation, end.exit_code, end.reason) for end in host.ends] == [(3, 0, "deaf")]
    assert (handed_over.worker.state, handed_over.worker.generation) == (State.STARTING, 4)


async def test_stop_ends_a_worker_that_has_handed_over_too(host: Host, handed_over: Member, child: int) -> None:
    host.fleet.reconcile([bot(1, Desired.STOPPED)])
    host.fleet.fork_failed("1", 4, "EAGAIN")
    assert handed_over.worker.state is State.STOPPED
    assert not host.fleet.idle(), "a process is left"
    await until(lambda: start_ticks(child) is None, "it got SIGTERM")
    host.fleet.exited("1", 3, -15)
    assert host.fleet.idle()


@pytest.mark.usefixtures("handed_over")
async def test_worker_that_has_handed_over_and_ends_after_its_bot_was_removed_holds_up_no_stop(host: Host) -> None:
    host.fleet.reconcile([bot(1, deleted=True)])
    host.fleet.fork_failed("1", 4, "EAGAIN")
    assert host.fleet.reconcile([bot(1, deleted=True)]) == ["1"]
    host.fleet.reconcile([])
    assert host.fleet.get("1") is None
    assert not host.fleet.idle(), "its process lives"
    host.fleet.exited("1", 3, 0)
    assert host.fleet.idle()
    assert [end.generation for end in host.ends] == []


@pytest.mark.usefixtures("handed_over")
async def test_worker_that_does_not_end_after_it_has_handed_over_is_killed(host: Host, child: int) -> None:
    os.kill(child, signal.SIGSTOP)
    host.fleet.tick()
    assert start_ticks(child) is not None
    host.later_s = LATE_S
    host.fleet.tick()
    await until(lambda: start_ticks(child) is None, "it is killed")


@pytest.mark.usefixtures("handed_over")
async def test_when_all_must_end_so_must_a_worker_that_has_handed_over(host: Host, child: int) -> None:
    host.fleet.kill_all()
    await until(lambda: start_ticks(child) is None, "it is killed")
    host.fleet.release()
