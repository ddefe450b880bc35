"""The plan of a roll-over: who moves when, when it goes on, when it turns back. Driven with a simulated fleet."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flotilla.domain.rollover import (
    Begun,
    BotFailed,
    CameUp,
    Discard,
    Effect,
    Event,
    Looked,
    Move,
    MoveBack,
    NewLost,
    NotUp,
    OldLost,
    Pace,
    Promote,
    Return,
    Rollover,
    Sight,
    StartServer,
    step,
    taken_up,
    wave_sizes,
)
from flotilla.domain.rollover_record import FINISHED, Phase

PACE = Pace(in_motion=4, max_unavailable=0.5, ready_within_s=10, watch_s=2)
LONGEST_S = 600.0


@dataclass
class World:
    """A fleet that does as it is told: a bot that is moved is READY again two looks later."""

    bots: dict[str, Sight]
    rollover: Rollover = field(default_factory=Rollover)
    now: float = 100.0
    pace: Pace = PACE
    told: list[Effect] = field(default_factory=list)
    under_way: dict[str, tuple[float, bool]] = field(default_factory=dict)
    stuck_on_new: set[str] = field(default_factory=set)
    most_moving: int = 0

    def give(self, event: Event) -> tuple[Effect, ...]:
        self.rollover, effects = step(self.rollover, event, self.now, self.pace)
        self.told += effects
        for effect in effects:
            if isinstance(effect, Move | MoveBack):
                new = isinstance(effect, Move)
                sight = self.bots[effect.bot_id]
                self.bots[effect.bot_id] = replace(
                    sight, ready=False, sound=False, alive=True, resting=False, failing=False
                )
                self.under_way[effect.bot_id] = (self.now + 0.2, new)
        self.most_moving = max(self.most_moving, len(self.rollover.moving))
        return effects

    def look(self) -> tuple[Effect, ...]:
        self.now += 0.1
        for bot_id, (at, new) in list(self.under_way.items()):
            if self.now >= at:
                del self.under_way[bot_id]
                well = not (new and bot_id in self.stuck_on_new)
                self.bots[bot_id] = replace(self.bots[bot_id], new=new, ready=well, sound=well, starting=False)
        return self.give(Looked(dict(self.bots)))

    def begin(self) -> "World":
        self.give(Begun())
        self.give(CameUp())
        return self

    def run(self, until: Callable[[], bool] | None = None) -> "World":
        end = self.now + LONGEST_S
        while not (until() if until else self.rollover.phase in FINISHED):
            assert self.now < end, self.rollover
            self.look()
        return self

    def run_until_canary(self) -> "World":
        return self.run(lambda: "000" in self.rollover.moved)

    def run_until_wave(self, number: int) -> "World":
        return self.run(lambda: self.rollover.wave == number)

    def fail(self, bot_id: str, code: str = "crashed") -> None:
        """A worker of the new fork server ends; it starts again from the one that serves if there is a way back."""
        self.give(BotFailed(bot_id, self.bots[bot_id].name, code))
        if self.rollover.phase is Phase.ROLLING_BACK:
            self.bots[bot_id] = replace(self.bots[bot_id], new=False, ready=False, sound=False, starting=True)
            self.under_way[bot_id] = (self.now + 0.2, False)

    @property
    def new(self) -> set[str]:
        return {bot_id for bot_id, sight in self.bots.items() if sight.new}

    def moves(self) -> list[str]:
        return [effect.bot_id for effect in self.told if isinstance(effect, Move)]


def fleet(count: int, **changes: object) -> World:
    return World({f"{n:03d}": Sight(f"bot-{n:03d}", **changes) for n in range(count)})  # type: ignore[arg-type]


# Forth ---------------------------------------------------------------------------------------------------------------


def test_a_whole_fleet_moves_and_then_the_new_fork_server_serves() -> None:
    world = fleet(20).begin().run()
    assert world.rollover.phase is Phase.DONE
    assert len(world.new) == 20
    assert isinstance(world.told[0], StartServer)
    assert world.told[-1] == Promote()
    assert sorted(world.moves()) == sorted(world.bots)


def test_nothing_moves_before_the_new_fork_server_is_up() -> None:
    world = fleet(3)
    world.give(Begun())
    assert world.look() == ()
    assert world.rollover.phase is Phase.WARMING


def test_one_canary_moves_first_and_is_watched() -> None:
    world = fleet(10).begin()
    world.look()
    assert (world.rollover.phase, world.moves()) == (Phase.CANARY, ["000"])
    world.run(lambda: "000" in world.rollover.moved)
    ready_at = world.now
    world.run(lambda: world.rollover.phase is Phase.ROLLING)
    assert world.now - ready_at >= PACE.watch_s
    assert world.rollover.wave == 2


def test_waves_double_and_the_last_takes_what_is_left() -> None:
    assert wave_sizes(0) == []
    assert wave_sizes(1) == [1]
    assert wave_sizes(20) == [1, 2, 4, 8, 5]
    world = fleet(20).begin().run()
    assert world.rollover.wave == 5


@pytest.mark.parametrize(("in_motion", "share", "most"), [(4, 1.0, 4), (16, 0.1, 2), (16, 0.01, 1)])
def test_no_more_are_in_motion_than_both_bounds_allow(in_motion: int, share: float, most: int) -> None:
    world = fleet(20)
    world.pace = replace(PACE, in_motion=in_motion, max_unavailable=share)
    world.begin().run()
    assert world.most_moving == most


def test_an_empty_fleet_is_done_at_once() -> None:
    world = fleet(0).begin()
    assert world.look() == (Promote(),)
    assert world.rollover.phase is Phase.DONE


def test_bots_that_should_not_run_are_left_alone() -> None:
    world = fleet(4)
    world.bots["001"] = Sight("bot-001", wanted=False, alive=False, ready=False, sound=False)
    world.begin().run()
    assert world.new == {"000", "002", "003"}


def test_a_bot_that_is_stopped_while_it_moves_or_waits_holds_nothing_up() -> None:
    world = fleet(3).begin()
    world.run(lambda: "000" in world.rollover.moving)
    del world.bots["000"], world.under_way["000"]
    world.run(lambda: bool(world.rollover.queue))
    (waiting,) = world.rollover.queue
    world.bots[waiting] = replace(world.bots[waiting], wanted=False)
    world.run()
    assert world.rollover.phase is Phase.DONE


def test_a_bot_started_meanwhile_is_moved_as_well() -> None:
    world = fleet(2).begin().run_until_canary()
    world.bots["late"] = Sight("late")
    assert world.run().rollover.phase is Phase.DONE
    assert "late" in world.new


def test_the_canary_is_a_sound_bot_and_unsound_ones_move_last_without_being_judged() -> None:
    world = fleet(4)
    world.bots["000"] = replace(world.bots["000"], sound=False)
    world.begin().run(lambda: "000" in world.moves())
    assert world.moves() == ["001", "002", "003", "000"]
    world.fail("000")
    assert world.run().rollover.phase is Phase.DONE


def test_an_unsound_bot_that_does_not_come_up_is_left_and_the_rollover_is_done() -> None:
    world = fleet(2)
    world.bots["000"] = replace(world.bots["000"], sound=False, ready=False)
    world.stuck_on_new = {"000"}
    assert world.begin().run().rollover.phase is Phase.DONE


def test_without_a_sound_bot_nothing_is_moved_and_it_fails_after_its_patience() -> None:
    world = fleet(3, sound=False, ready=False).begin()
    began = world.now
    world.run()
    assert world.rollover.phase is Phase.FAILED
    assert world.moves() == []
    assert world.told[-1] == Discard()
    assert "could not be tried" in str(world.rollover.reason)
    assert world.now - began >= PACE.ready_within_s


def test_a_fleet_that_fails_anyway_gets_what_may_mend_it() -> None:
    world = fleet(3, sound=False, ready=False, failing=True).begin().run()
    assert (world.rollover.phase, len(world.new)) == (Phase.DONE, 3)


def test_a_fleet_that_has_given_up_gets_the_new_code_with_its_next_start() -> None:
    world = fleet(3, sound=False, ready=False, alive=False, resting=True, failing=True).begin()
    assert world.look() == (Promote(),)


def test_a_fleet_that_is_only_starting_is_waited_for() -> None:
    world = fleet(2, sound=False, ready=False).begin()
    world.look()
    for bot_id in world.bots:
        world.bots[bot_id] = Sight(bot_id)
    assert world.run().rollover.phase is Phase.DONE


# Back ----------------------------------------------------------------------------------------------------------------


def test_a_fork_server_that_does_not_come_up_moves_nothing() -> None:
    world = fleet(3)
    world.give(Begun())
    assert world.give(NotUp("why", "Traceback")) == (Discard(),)
    assert (world.rollover.phase, world.rollover.reason, world.rollover.details) == (Phase.FAILED, "why", "Traceback")
    assert world.moves() == []


def test_a_canary_that_is_not_ready_in_time_goes_back() -> None:
    world = fleet(5)
    world.stuck_on_new = {"000"}
    world.begin().run()
    assert world.rollover.phase is Phase.ROLLED_BACK
    assert world.moves() == ["000"]
    assert world.told[-3:] == [Return(), MoveBack("000"), Discard()]
    assert "bot-000 was not READY within 10 s" in str(world.rollover.reason)


@pytest.mark.parametrize("code", ["crashed", "bot_code_failed", "startup_timeout", "memory_limit", "intents_refused"])
def test_a_failure_within_the_watch_takes_all_moved_bots_back(code: str) -> None:
    world = fleet(8).begin().run_until_wave(3)
    moved = world.new
    world.run(lambda: any(world.now < until for until in world.rollover.moved.values()))
    watched = max(world.rollover.moved, key=lambda bot_id: world.rollover.moved[bot_id])
    world.fail(watched, code)
    assert world.rollover.phase is Phase.ROLLING_BACK
    world.run()
    assert (world.rollover.phase, world.new) == (Phase.ROLLED_BACK, set())
    assert moved - {watched} <= {effect.bot_id for effect in world.told if isinstance(effect, MoveBack)}


def test_a_failure_after_the_watch_does_not_turn_back() -> None:
    world = fleet(8).begin().run_until_wave(3)
    world.fail("000")
    assert world.run().rollover.phase is Phase.DONE


@pytest.mark.parametrize("code", ["discord_unreachable", "restart_requested", "session_limit", "token_refused"])
def test_a_failure_that_says_nothing_about_the_code_does_not_turn_back(code: str) -> None:
    world = fleet(4).begin()
    world.look()
    world.fail("000", code)
    assert world.run().rollover.phase is Phase.DONE


def test_a_bot_whose_token_is_refused_is_not_waited_for() -> None:
    world = fleet(1).begin()
    world.look()
    world.fail("000", "token_refused")
    del world.under_way["000"]
    world.bots["000"] = replace(world.bots["000"], new=True, alive=False, resting=True)
    began = world.now
    world.run()
    assert (world.rollover.phase, world.now - began < 1) == (Phase.DONE, True)


def test_bots_of_the_old_fork_server_are_not_judged() -> None:
    world = fleet(4).begin()
    world.look()
    world.fail("003")
    assert world.rollover.phase is Phase.CANARY


def test_a_new_fork_server_that_ends_turns_back() -> None:
    world = fleet(8).begin().run_until_wave(2)
    world.give(NewLost())
    world.run()
    assert (world.rollover.phase, world.new) == (Phase.ROLLED_BACK, set())


def test_a_bot_that_is_not_ready_after_the_way_back_is_named_and_holds_nothing_up() -> None:
    world = fleet(2).begin().run_until_canary()
    world.give(NewLost())
    world.look()
    del world.under_way["000"]
    world.run()
    assert world.rollover.phase is Phase.ROLLED_BACK
    assert "Not READY again in time after the way back: bot-000." in str(world.rollover.reason)


def test_a_bot_that_gave_up_on_the_way_back_holds_nothing_up() -> None:
    world = fleet(2).begin().run_until_canary()
    world.give(NewLost())
    world.look()
    del world.under_way["000"]
    world.bots["000"] = Sight("bot-000", ready=False, alive=False, resting=True)
    world.look()
    assert world.rollover.phase is Phase.ROLLED_BACK


def test_what_fails_goes_back_by_itself_and_is_waited_for() -> None:
    world = fleet(2).begin().run_until_canary()
    world.fail("000")
    assert world.told[-1] == Return()
    assert world.look() == ()
    assert world.rollover.phase is Phase.ROLLING_BACK
    assert world.run().rollover.phase is Phase.ROLLED_BACK
    assert isinstance(world.told[-1], Discard)
    assert world.bots["000"].ready


def test_what_failed_and_rests_is_hurried_once() -> None:
    world = fleet(2).begin().run_until_canary()
    world.fail("000")
    del world.under_way["000"]
    resting = Sight("bot-000", ready=False, sound=False, alive=False, new=True, resting=True)
    world.bots["000"] = resting
    assert world.look() == (MoveBack("000"),)
    del world.under_way["000"]
    world.bots["000"] = resting
    assert world.look() == (Discard(),)


def test_a_bot_that_is_starting_is_not_disturbed_on_the_way_back() -> None:
    world = fleet(4).begin().run_until_wave(2)
    world.run(lambda: "001" in world.rollover.moving)
    del world.under_way["001"]
    world.bots["001"] = Sight("bot-001", ready=False, sound=False, starting=True, new=True)
    world.give(NewLost())
    for _ in range(5):
        assert MoveBack("001") not in world.look()
    assert world.rollover.phase is Phase.ROLLING_BACK
    world.bots["001"] = Sight("bot-001", new=True)
    assert MoveBack("001") in world.look()
    assert world.run().rollover.phase is Phase.ROLLED_BACK


def test_a_bot_that_is_starting_is_not_disturbed_on_the_way_forth() -> None:
    world = fleet(2)
    world.bots["001"] = Sight("bot-001", ready=False, sound=False, starting=True)
    world.begin().run_until_canary()
    for _ in range(50):
        world.look()
    assert (world.moves(), world.rollover.phase) == (["000"], Phase.CANARY)
    world.bots["001"] = Sight("bot-001")
    assert world.run().rollover.phase is Phase.DONE
    assert world.moves() == ["000", "001"]


def test_without_a_way_back_it_stops_where_it_is() -> None:
    world = fleet(8).begin().run_until_wave(2)
    moved = set(world.rollover.moved)
    world.give(OldLost())
    world.run(lambda: any(world.now < until for until in world.rollover.moved.values()))
    world.fail(max(world.rollover.moved, key=lambda bot_id: world.rollover.moved[bot_id]))
    assert world.rollover.phase is Phase.FAILED
    assert moved <= world.new
    assert world.told[-1] == Promote()
    assert "no fork server with the old code" in str(world.rollover.reason)


def test_an_old_fork_server_that_ends_on_the_way_back_is_told() -> None:
    world = fleet(4).begin().run_until_wave(2)
    world.give(NewLost())
    world.give(OldLost())
    world.run()
    assert world.rollover.phase is Phase.FAILED
    assert "they run the new code again" in str(world.rollover.reason)


@pytest.mark.parametrize("phase", list(Phase))
def test_one_that_a_supervisor_left_behind_is_never_left_hanging(phase: Phase) -> None:
    world = fleet(3)
    if phase in FINISHED:
        return
    world.rollover = taken_up(phase)
    if phase is Phase.ROLLING_BACK:
        assert world.rollover.phase is Phase.INTERRUPTED
        return
    assert world.rollover.way_back == (phase in {Phase.PENDING, Phase.WARMING})
    assert world.begin().run().rollover.phase is Phase.DONE


# Always --------------------------------------------------------------------------------------------------------------

EVENTS: list[Event] = [
    Begun(),
    CameUp(),
    NotUp("why"),
    NewLost(),
    OldLost(),
    BotFailed("000", "bot-000", "crashed"),
    BotFailed("no such bot", "x", "crashed"),
    Looked({}),
    Looked({"000": Sight("bot-000")}),
]


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(Phase, EVENTS)))
def test_every_event_is_decided_in_every_phase(phase: Phase, event: Event) -> None:
    after, effects = step(Rollover(phase), event, 1.0, PACE)
    if phase in FINISHED:
        assert (after, effects) == (Rollover(phase), ())


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    stuck=st.sets(st.integers(0, 11)),
    unsound=st.sets(st.integers(0, 11)),
    disturbances=st.lists(
        st.tuples(
            st.integers(0, 60), st.sampled_from(["fail", "new", "old", "stop", "remove", "start"]), st.integers(0, 11)
        ),
        max_size=6,
    ),
)
def test_whatever_happens_it_ends_and_no_bot_is_left_in_between(
    count: int, stuck: set[int], unsound: set[int], disturbances: list[tuple[int, str, int]]
) -> None:
    world = fleet(count)
    world.stuck_on_new = {f"{n:03d}" for n in stuck}
    for number in unsound & set(range(count)):
        world.bots[f"{number:03d}"] = replace(world.bots[f"{number:03d}"], sound=False)
    world.begin()
    for looks, what, number in sorted(disturbances):
        end = 100.0 + looks
        while world.now < end and world.rollover.phase not in FINISHED:
            world.look()
        if world.rollover.phase not in FINISHED:
            disturb(world, what, f"{number:03d}")
    world.run()
    if world.rollover.phase is Phase.ROLLED_BACK:
        assert {bot_id for bot_id in world.new if world.bots[bot_id].wanted} <= world.rollover.left
    if world.rollover.phase is Phase.DONE:
        old = {bot_id for bot_id, sight in world.bots.items() if sight.wanted and sight.alive and not sight.new}
        assert old <= world.rollover.left | set(world.under_way)


def disturb(world: World, what: str, bot_id: str) -> None:
    if what in {"new", "old"}:
        world.give(NewLost() if what == "new" else OldLost())
    elif what == "start":
        world.bots.setdefault(bot_id, Sight(bot_id))
    elif bot_id in world.bots and what == "fail":
        world.fail(bot_id)
    elif bot_id in world.bots and what == "stop":
        world.under_way.pop(bot_id, None)
        world.bots[bot_id] = replace(world.bots[bot_id], wanted=False, alive=False, ready=False, sound=False)
    elif what == "remove":
        world.under_way.pop(bot_id, None)
        world.bots.pop(bot_id, None)
