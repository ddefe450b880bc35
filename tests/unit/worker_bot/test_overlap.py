"""Whatever two sessions bring in whatever order, the bot is handed every event once, and its cache ends up right."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker_bot import overlap
from worker_bot.overlap import Overlap, Own, Phase, key_of

READY: tuple[str, Any] = ("READY", {})


class Bot:
    """What a bot is handed, and its cache: each event sets a channel's name."""

    def __init__(self, snapshot: dict[str, str]) -> None:
        self.snapshot = snapshot
        self.handed: list[Any] = []
        self.cache: dict[str, str] = {}

    def change(self, name: str, payload: dict[str, str]) -> None:
        if name == "READY":
            self.cache = dict(self.snapshot)
        else:
            self.cache[payload["channel"]] = payload["name"]

    def take(self, taken: list[Own[tuple[str, Any]]]) -> None:
        for own in taken:
            self.change(*own.event)
            if not own.known:
                self.handed.append(own.event)

    def take_passed(self, event: tuple[str, Any]) -> None:
        self.change(*event)
        self.handed.append(event)


def state_after(events: list[tuple[str, Any]]) -> dict[str, str]:
    return {payload["channel"]: payload["name"] for _, payload in events}


EVENTS = st.lists(
    st.builds(
        lambda channel, name: ("CHANNEL_UPDATE", {"channel": channel, "name": name}),
        st.sampled_from("ab"),
        st.sampled_from("xy"),
    ),
    max_size=12,
)


@given(EVENTS, st.booleans(), st.data())
def test_every_event_is_handed_on_once_and_the_cache_ends_as_discord_has_it(
    events: list[tuple[str, Any]], alike: bool, data: st.DataObject
) -> None:
    """alike: events may carry the same. Those can only be counted, so the worker before must have received them all."""
    if not alike:
        events = [(name, payload | {"by": str(number)}) for number, (name, payload) in enumerate(events)]
    begun = data.draw(st.integers(0, len(events)), "events before the new session")
    asked = data.draw(st.integers(0, begun), "events passed on before IDENTIFY")
    least = len(events) if alike else begun
    ended = data.draw(st.integers(least, len(events)), "events that the worker before receives")
    bot = Bot(state_after(events[:begun]))
    shard: Overlap[tuple[str, Any]] = Overlap()
    shard.refused()
    for event in events[:asked]:
        assert shard.passed_on(*event)
        bot.take_passed(event)
    shard.identifies()
    passed = events[asked:ended]
    own = [READY, *events[begun:]]
    over = False
    while passed or own or not over:
        choices = (["passed"] if passed and not over else []) + (["own"] if own else [])
        # What the worker before ends with comes behind all it passes on, and after READY, which it was told of.
        choices += ["end"] if not passed and not over and shard.phase is not Phase.BORROWING else []
        choice = data.draw(st.sampled_from(choices))
        if choice == "passed":
            event = passed.pop(0)
            if shard.passed_on(*event):
                bot.take_passed(event)
        elif choice == "own":
            event = own.pop(0)
            bot.take(shard.own(*event, event))
        else:
            bot.take(shard.ended())
            over = True
    assert Counter(map(str, bot.handed)) == Counter(map(str, [READY, *events]))
    assert bot.cache == state_after(events)


def test_session_that_is_resumed_is_passed_through_at_once() -> None:
    shard: Overlap[int] = Overlap()
    assert shard.own("MESSAGE_CREATE", {"id": "1"}, 1) == [Own(1)]
    assert shard.own("RESUMED", {}, 2) == [Own(2)]
    assert shard.phase is Phase.ALONE
    assert not shard.passed_on("MESSAGE_CREATE", {"id": "1"})
    assert shard.own("MESSAGE_CREATE", {"id": "1"}, 3) == [Own(3)]


def test_same_event_may_differ_between_sessions_where_it_has_an_id() -> None:
    assert key_of("INTERACTION_CREATE", {"id": "7", "a": 1}) == key_of("INTERACTION_CREATE", {"id": "7"})
    assert key_of("MESSAGE_CREATE", {"id": "7"}) != key_of("MESSAGE_CREATE", {"id": "8"})
    there, here = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert key_of("TYPING_START", there) == key_of("TYPING_START", here)
    assert key_of("TYPING_START", {"id": "7", "a": 1}) != key_of("TYPING_START", {"id": "7", "a": 2})
    assert key_of("MESSAGE_CREATE", ["odd"]) != key_of("MESSAGE_CREATE", ["other"])


def test_what_was_passed_on_before_identify_hides_no_later_event_that_is_alike() -> None:
    shard: Overlap[int] = Overlap()
    shard.refused()
    shard.passed_on("TYPING_START", {"user": "1"})
    shard.identifies()
    assert shard.own("READY", {}, 0) == []
    assert shard.own("TYPING_START", {"user": "1"}, 1) == []
    assert shard.ended() == [Own(0), Own(1)]


def test_event_that_the_new_session_brings_late_is_known_until_that_is_checked() -> None:
    shard: Overlap[int] = Overlap()
    shard.refused()
    shard.identifies()
    for number in range(2):
        shard.passed_on("MESSAGE_CREATE", {"id": str(number)})
    shard.own("READY", {}, 9)
    assert shard.ended() == [Own(9)]
    assert shard.own("MESSAGE_CREATE", {"id": "0"}, 0) == [Own(0, known=True)]
    assert shard.own("MESSAGE_CREATE", {"id": "0"}, 0) == [Own(0)]
    shard.checked()
    assert shard.own("MESSAGE_CREATE", {"id": "1"}, 1) == [Own(1)]


def test_no_more_is_held_back_than_there_is_room_for(monkeypatch: Any) -> None:
    monkeypatch.setattr(overlap, "MAX_EVENTS", 3)
    shard: Overlap[int] = Overlap()
    shard.refused()
    assert shard.own("READY", {}, 0) == []
    assert shard.own("MESSAGE_CREATE", {"id": "1"}, 1) == []
    assert shard.own("MESSAGE_CREATE", {"id": "2"}, 2) == [Own(0), Own(1), Own(2)]
    assert shard.own("MESSAGE_CREATE", {"id": "3"}, 3) == [Own(3)]


def test_worker_before_that_is_gone_leaves_the_shard_alone_until_its_session_is_ready() -> None:
    shard: Overlap[int] = Overlap()
    shard.refused()
    assert shard.ended() == []
    assert not shard.passed_on("MESSAGE_CREATE", {"id": "1"})
    assert shard.own("READY", {}, 0) == [Own(0)]
