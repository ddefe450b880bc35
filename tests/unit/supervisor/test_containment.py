"""One bot's fault is that bot's: it is told, tried again, and no other bot notices."""

from dataclasses import fields, replace
from typing import Any

import pytest

from flotilla.domain.policy import Policy
from flotilla.domain.worker import BecameReady, Heartbeat, State
from supervisor.containment import FORGOTTEN_S, RETRY_CAP_S, Containment
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.shell import Shell
from tests.builders import none_refused
from tests.fakes.fleet import MemoryFleetStore
from tests.unit.supervisor.test_fleet import bot


class Set:
    """A containment whose clock is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.shown: list[str] = []
        self.containment = Containment(self.note, lambda: self.now)
        self.containment.changed = self.shown.append

    def note(self, code: str, _bot_id: str, _name: str, **detail: str) -> None:
        self.told.append(f"{code}: {detail['what']}: {detail['error']}")


@pytest.fixture
def aside() -> Set:
    return Set()


def fail() -> None:
    raise KeyError("nobody expected this")


def test_a_fault_is_told_once_until_its_wait_is_over_and_waits_grow_up_to_a_cap(aside: Set) -> None:
    tried, waits = 0, []

    def act() -> None:
        nonlocal tried
        tried += 1
        fail()

    for _ in range(20):
        since = aside.now
        while not aside.containment.due("0", "deadline"):
            assert not aside.containment.retry(bot(0), "deadline", act)
            aside.now += 0.05
        waits.append(aside.now - since)
        assert not aside.containment.retry(bot(0), "deadline", act)
        assert len(aside.told) == tried
    assert max(waits) <= RETRY_CAP_S + 0.1
    assert waits[-1] >= RETRY_CAP_S / 2
    assert aside.told[0] == "set_aside: deadline: KeyError: 'nobody expected this'"


def test_it_is_shown_until_it_succeeds(aside: Set) -> None:
    aside.containment.attempt(bot(0), "deadline", fail)
    assert aside.containment.sentence("0") == "deadline (KeyError: 'nobody expected this')"
    assert (aside.containment.sentence("1"), aside.containment.count()) == (None, 1)
    assert aside.containment.attempt(bot(0), "message Beat", lambda: None)
    assert aside.containment.sentence("0"), "another thing succeeded"
    assert aside.containment.attempt(bot(0), "deadline", lambda: None)
    assert (aside.containment.sentence("0"), aside.containment.count(), aside.shown) == (None, 0, ["0", "0"])


def test_what_never_happens_again_is_not_shown_for_ever(aside: Set) -> None:
    aside.containment.attempt(bot(0), "message Ready", fail)
    aside.now += FORGOTTEN_S
    assert (aside.containment.sentence("0"), aside.containment.count()) == (None, 0)


def test_a_fault_that_cannot_even_be_told_stays_contained(aside: Set) -> None:
    aside.containment.changed = lambda _: fail()
    assert not aside.containment.attempt(bot(0), "deadline", fail)


def raises(*_: Any) -> Any:
    raise RuntimeError("a fault of ours")


CALLS = [field.name for field in fields(Shell)]


@pytest.mark.parametrize("broken", CALLS)
async def test_whatever_breaks_for_one_bot_the_others_go_on(broken: str) -> None:
    """Each thing that the fleet has others do fails for the first bot; a new one is tried here by itself."""
    spawned: list[str] = []
    working = Shell(
        spawn=lambda member, _: spawned.append(member.bot.id),
        on_exit=lambda *_: None,
        dump_stacks=lambda _: None,
        on_gone=lambda *_: None,
        on_policy=lambda _: None,
    )

    def of_one(work: Any) -> Any:
        return lambda member, *rest: raises() if member.bot.id == "0" else work(member, *rest)

    later: list[Any] = []
    broken_call = later.append if broken == "when_stored" else of_one(getattr(working, broken))
    changes: dict[str, Any] = {broken: broken_call}
    shell = replace(working, **changes)
    now = 1000.0
    contain, journal = Containment(), Journal(MemoryFleetStore(), none_refused)
    fleet = Fleet(Policy(), journal, shell, spawn_concurrency=10, clock=lambda: now, containment=contain)
    wanted = [replace(bot(number), desired_epoch=0) for number in range(3)]
    for _ in range(2):
        fleet.reconcile(wanted)
    changed = [replace(each, config_version=7) for each in wanted]
    fleet.reconcile(changed)
    for member in fleet:
        generation = member.worker.generation
        contain.attempt(member.bot, "message", fleet.apply, member, BecameReady(generation))
        contain.attempt(member.bot, "message", fleet.apply, member, Heartbeat(generation))
    now += 100.0
    fleet.tick()
    fleet.tick()
    for number in (1, 2):
        found = fleet.get(str(number))
        assert found is not None
        assert found.worker.state is not State.STOPPED
        assert spawned.count(str(number)) >= 1
    fleet.stop_all()
    fleet.kill_all()
