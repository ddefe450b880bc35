"""When a session is asked, when it is called deaf, what is tried then, and what must never be taken for deafness."""

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flotilla.protocol import WorkerLimits
from worker_bot.hearing import LADDER_AGAIN_S, Act, Hearing

LIMITS = WorkerLimits(heartbeat_s=1.0, delivery_quiet_s=30.0, delivery_answer_s=10.0)
OFF = WorkerLimits(delivery_probe=False)


@dataclass
class Session:
    """A session that ticks once a second, and a shell that sends each question at once."""

    hearing: Hearing = field(default_factory=lambda: Hearing(0.0))
    now: float = 1000.0
    up: bool = True
    askable: bool = True
    acknowledged: bool = True
    limits: WorkerLimits = LIMITS
    acts: list[tuple[float, Act]] = field(default_factory=list)
    began: float = 1000.0

    @property
    def state(self) -> str:
        return self.hearing.state

    def tick(self, after_s: float = 1.0, *, send: bool = True) -> Act | None:
        self.now += after_s
        act = self.hearing.tick(self.now, self.limits, up=self.up, askable=self.askable, acknowledged=self.acknowledged)
        if act is not None:
            self.acts.append((self.now - self.began, act))
        if act is Act.ASK and send:
            self.hearing.sent(self.limits)
        return act

    def ticks(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.tick()

    def until(self, act: Act, within_s: float = 5000.0) -> None:
        for _ in range(int(within_s)):
            if self.tick() is act:
                return
        raise AssertionError(f"no {act} within {within_s} s: {self.acts}")

    def hear(self) -> None:
        self.hearing.heard = True
        self.tick()


def a_session(**changed: object) -> Session:
    session = Session(**changed)  # type: ignore[arg-type]
    session.tick(0.0)
    session.hearing.connected()
    return session


def test_deaf_session_is_found_within_50_s_and_climbs_the_ladder() -> None:
    session = a_session()
    session.until(Act.RESUME)
    assert [(round(at), act) for at, act in session.acts] == [(30, Act.ASK), (40, Act.ASK), (50, Act.RESUME)]
    assert (session.state, session.hearing.rung, session.hearing.quiet_s) == ("deaf", "resume", 50.0)
    session.hearing.connected()
    session.until(Act.IDENTIFY, 22)
    session.hearing.connected()
    session.ticks(22)
    assert (session.state, session.hearing.rung) == ("deaf", "renew")
    assert [act for _, act in session.acts].count(Act.IDENTIFY) == 1


def test_session_that_hears_after_a_rung_is_healed_and_asked_again_only_when_it_is_silent() -> None:
    session = a_session()
    session.until(Act.RESUME)
    session.hearing.connected()
    assert session.tick() is Act.ASK, "healed or not is found out at once"
    session.hear()
    assert (session.state, session.hearing.rung) == ("ok", "")
    session.acts.clear()
    session.ticks(29)
    assert session.acts == []


def test_events_replayed_before_resumed_do_not_heal() -> None:
    session = a_session()
    session.until(Act.RESUME)
    session.up = False
    session.hear()
    assert session.hearing.rung == "resume"
    session.hearing.heard = True
    session.hearing.connected()
    session.up = True
    session.tick()
    assert session.hearing.rung == "resume"


def test_quiet_bot_whose_questions_are_answered_is_never_called_deaf() -> None:
    session = a_session()
    for _ in range(50):
        session.until(Act.ASK, 31)
        assert session.state == "probing"
        session.hear()
        assert session.state == "ok"
    assert {act for _, act in session.acts} == {Act.ASK}


def test_late_answer_to_the_first_question_is_enough() -> None:
    session = a_session()
    session.until(Act.ASK)
    session.until(Act.ASK)
    session.ticks(9)
    session.hear()
    session.ticks(20)
    assert session.state == "ok"


def test_bot_without_a_guild_is_unprobed_and_left_alone() -> None:
    session = a_session(askable=False)
    assert session.state == "quiet"
    session.ticks(500)
    assert (session.acts, session.state) == ([], "unprobed")
    session.hear()
    assert session.state == "ok"


def test_guild_that_goes_away_while_it_is_asked_proves_nothing() -> None:
    session = a_session()
    session.until(Act.ASK)
    session.askable = False
    session.ticks(100)
    assert (len(session.acts), session.state) == (1, "unprobed")


def test_connection_that_is_down_is_no_matter_of_delivery() -> None:
    session = a_session()
    session.until(Act.ASK)
    session.up = False
    session.ticks(1000)
    assert (len(session.acts), session.state, session.hearing.quiet_s) == (1, "quiet", 0.0)
    session.up = True
    session.hearing.connected()
    session.ticks(29)
    assert len(session.acts) == 1


def test_connection_without_acknowledgements_is_left_to_hikari() -> None:
    session = a_session(acknowledged=False)
    session.ticks(200)
    assert {act for _, act in session.acts} == {Act.ASK}
    assert session.state == "probing"


def test_process_that_was_stopped_or_blocked_does_not_count_that_as_silence() -> None:
    session = a_session()
    session.tick(3600.0)
    assert (session.acts, session.hearing.quiet_s) == ([], 2.0)
    session.until(Act.ASK)
    session.tick(3600.0)
    session.tick(3600.0)
    assert [act for _, act in session.acts] == [Act.ASK]


def test_time_that_a_question_waits_for_the_limit_of_sends_is_not_held_against_the_session() -> None:
    session = a_session()
    while session.tick(send=False) is None:
        pass
    session.ticks(60)
    assert [act for _, act in session.acts] == [Act.ASK]
    session.hearing.sent(LIMITS)
    session.ticks(9)
    assert len(session.acts) == 1


def test_question_that_could_not_be_sent_does_not_count() -> None:
    session = a_session()
    for _ in range(20):
        while session.tick(send=False) is None:
            pass
        session.hearing.unsent(LIMITS)
    assert {act for _, act in session.acts} == {Act.ASK}


def test_probe_that_is_switched_off_asks_nothing_and_forgets_the_ladder() -> None:
    session = a_session()
    session.until(Act.RESUME)
    session.limits = OFF
    session.acts.clear()
    session.ticks(1000)
    assert (session.acts, session.state, session.hearing.rung) == ([], "quiet", "")


def test_change_of_the_quiet_time_holds_at_once() -> None:
    session = a_session(limits=WorkerLimits(delivery_quiet_s=3600.0))
    session.ticks(100)
    assert session.acts == []
    session.limits = LIMITS
    assert session.tick() is Act.ASK


def test_bot_that_nothing_heals_spends_at_most_one_identify_in_ten_minutes() -> None:
    session = a_session()
    for _ in range(6 * 3600):
        if session.tick() in {Act.RESUME, Act.IDENTIFY}:
            session.hearing.connected()
    at = [when for when, act in session.acts if act is Act.IDENTIFY]
    assert len(at) >= 30, "it is tried again and again"
    assert all(later - earlier >= LADDER_AGAIN_S for earlier, later in pairwise(at))


def test_session_that_goes_deaf_soon_after_a_new_one_is_renewed_without_a_further_identify() -> None:
    session = a_session()
    session.until(Act.IDENTIFY)
    session.hearing.connected()
    session.hear()
    session.acts.clear()
    session.until(Act.RESUME)
    session.hearing.connected()
    session.ticks(21)
    assert session.hearing.rung == "renew"
    assert Act.IDENTIFY not in {act for _, act in session.acts}


def test_connection_that_is_not_renewed_as_asked_does_not_stop_the_ladder() -> None:
    session = a_session()
    session.until(Act.RESUME)
    session.until(Act.IDENTIFY, 31)


@given(st.floats(0, 0.999), st.floats(1, 600))
def test_jitter_only_makes_the_question_come_sooner(jitter: float, quiet_s: float) -> None:
    limits = WorkerLimits(delivery_quiet_s=quiet_s)
    session = a_session(hearing=Hearing(jitter), limits=limits)
    session.until(Act.ASK, quiet_s + 2)
    assert 0.8 * quiet_s <= session.hearing.quiet_s <= quiet_s + 1


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.booleans(),
            st.booleans(),
            st.booleans(),
            st.sampled_from(["", "heard", "connected", "sent", "unsent"]),
        ),
        max_size=200,
    )
)
def test_whatever_happens_nothing_is_tried_before_two_questions_and_an_acknowledgement(
    steps: list[tuple[float, bool, bool, bool, str]],
) -> None:
    hearing, now, asked = Hearing(0.5), 0.0, 0
    for after_s, up, askable, acknowledged, event in steps:
        now += after_s
        heard = event == "heard"
        if heard:
            hearing.heard = True
        elif event == "connected":
            hearing.connected()
        elif event == "sent":
            hearing.sent(LIMITS)
        elif event == "unsent":
            hearing.unsent(LIMITS)
        act = hearing.tick(now, LIMITS, up=up, askable=askable, acknowledged=acknowledged)
        asked = 0 if heard and up else asked + (act is Act.ASK)
        if act in {Act.RESUME, Act.IDENTIFY}:
            assert asked >= 2
            assert up
            assert askable
            assert acknowledged
            asked = 0
        assert hearing.quiet_s >= 0
        assert (hearing.state == "deaf") == bool(hearing.rung)
