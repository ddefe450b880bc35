from collections import deque

import pytest

from sandbox import limits
from sandbox.gateway.replay import Kept, Replay
from sandbox.gateway.session import ReplayLostError, SequenceUnknownError, Session, Sessions

START = 1_000.0


def session_of(sessions: Sessions, session_id: str = "s", shard: tuple[int, int] = (0, 1), intents: int = 1) -> Session:
    return sessions.open(session_id, "1", intents, shard, START)


def test_body_of_many_sessions_counts_once_and_until_the_last_lets_go() -> None:
    replay = Replay(60)
    first: deque[Kept] = deque()
    second: deque[Kept] = deque()
    body = b"x" * 1000
    replay.keep(first, 1, "E", body)
    replay.keep(second, 1, "E", body)
    assert replay.held_bytes == 1000 + 2 * limits.REPLAY_EVENT_BYTES
    replay.forget(first)
    assert replay.held_bytes == 1000 + limits.REPLAY_EVENT_BYTES
    replay.forget(second)
    assert replay.held_bytes == 0


def test_oldest_event_of_all_goes_first_when_the_bytes_run_out() -> None:
    each = limits.REPLAY_EVENT_BYTES + 10
    replay = Replay(60, max_bytes=3 * each)
    quiet: deque[Kept] = deque()
    busy: deque[Kept] = deque()
    replay.keep(quiet, 1, "E", bytes(10))
    for seq in range(1, 5):
        replay.keep(busy, seq, "E", bytes([seq] * 10))
    assert (len(quiet), [event.seq for event in busy]) == (0, [2, 3, 4])
    assert replay.held_bytes == 3 * each


def test_event_goes_once_nobody_can_need_it() -> None:
    replay = Replay(60)
    owner: deque[Kept] = deque()
    replay.advance(START)
    replay.keep(owner, 1, "E", b"1")
    replay.advance(START + 30)
    replay.keep(owner, 2, "E", b"2")
    replay.advance(START + 60)
    assert len(owner) == 2
    replay.advance(START + 61)
    assert [event.seq for event in owner] == [2]


def test_what_sessions_let_go_does_not_pile_up() -> None:
    replay = Replay(60)
    for number in range(10 * limits.REPLAY_MAX_EVENTS):
        owner: deque[Kept] = deque()
        replay.keep(owner, 1, "E", b"%d" % number)
        replay.forget(owner)
    assert replay.held_bytes == 0
    assert len(replay._oldest) <= 2 * limits.REPLAY_MAX_EVENTS + 1


def test_session_keeps_no_more_than_its_last_events() -> None:
    session = session_of(Sessions(180))
    for number in range(limits.REPLAY_MAX_EVENTS + 1):
        session.dispatch("E", {"n": number})
    with pytest.raises(ReplayLostError):
        session.missed_since(0)
    missed = session.missed_since(limits.REPLAY_MAX_EVENTS - 1)
    assert missed == [
        b'{"t":"E","s":1000,"op":0,"d":{"n":999}}',
        b'{"t":"E","s":1001,"op":0,"d":{"n":1000}}',
    ]
    with pytest.raises(SequenceUnknownError):
        session.missed_since(limits.REPLAY_MAX_EVENTS + 2)


def test_pruning_ends_detached_sessions_in_time_and_leaves_the_others() -> None:
    sessions = Sessions(180)
    early, late, resumed = (session_of(sessions, name) for name in ("early", "late", "resumed"))
    sessions.detach(early, START)
    sessions.detach(resumed, START)
    sessions.detach(late, START + 10)
    sessions.attach(resumed, FakeClient())
    sessions.prune(START + 180)
    assert {session.id for session in sessions.everyone()} == {"late", "resumed"}
    sessions.prune(START + 190)
    assert sessions.everyone() == [resumed]


class FakeClient:
    def deliver(self, frame: bytes) -> None: ...
    def request_reconnect(self) -> None: ...
    def request_heartbeat(self) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def drop(self, *, reset: bool = False) -> None: ...
    def lose_session(self) -> None: ...


@pytest.mark.parametrize(
    ("name", "guild_id", "intents", "wanted"),
    [
        ("INTERACTION_CREATE", "4194304", 0, True),
        ("INTERACTION_CREATE", None, 0, False),
        ("MESSAGE_CREATE", "4194304", 1 << 9, True),
        ("MESSAGE_CREATE", "4194304", 1 << 12, False),
        ("MESSAGE_CREATE", "8388608", 1 << 9, False),
        ("GUILD_MEMBER_ADD", "4194304", 1, False),
        ("THREAD_MEMBERS_UPDATE", "4194304", 1 << 1, True),
        ("TYPING_START", "4194304", 1 << 11, True),
    ],
)
def test_session_wants_what_its_intents_and_its_shard_say(
    name: str, guild_id: str | None, intents: int, wanted: bool
) -> None:
    assert session_of(Sessions(180), shard=(1, 2), intents=intents).wants(name, guild_id) is wanted


@pytest.mark.parametrize(
    ("name", "intents", "wanted"),
    [
        ("MESSAGE_CREATE", 1 << 12, True),
        ("MESSAGE_CREATE", 1 << 9, False),
        ("MESSAGE_REACTION_ADD", 1 << 13, True),
        ("TYPING_START", 1 << 14, True),
        ("MESSAGE_POLL_VOTE_ADD", 1 << 25, True),
        ("ENTITLEMENT_CREATE", 0, True),
    ],
)
def test_direct_messages_have_intents_of_their_own_and_go_to_shard_0(name: str, intents: int, wanted: bool) -> None:
    sessions = Sessions(180)
    assert session_of(sessions, "a", (0, 2), intents).wants(name, None) is wanted
    assert session_of(sessions, "b", (1, 2), intents).wants(name, None) is False
