from typing import Any

import pytest

from sandbox import limits
from sandbox.faults import kinds
from sandbox.faults.book import Entry, FaultBook, Moment, State, draw

START = 1_000.0


def fault(kind: str, **fields: Any) -> kinds.Fault:
    return kinds.parse({"kind": kind, **fields})


def moments(book: FaultBook, now: float) -> list[tuple[int, str]]:
    return [(entry.id, moment.value) for entry, moment in book.advance(now)]


def struck_by(seed: int, order: list[tuple[str, int]], probability: float = 0.5) -> set[tuple[str, int]]:
    book = FaultBook()
    entry = book.add(fault("drop", probability=probability), seed, START)
    return {key for key in order if entry.hits(*key)}


def test_same_seed_strikes_the_same_whatever_the_order() -> None:
    order = [(str(application), nth) for application in range(50) for nth in range(3)]
    first = struck_by(7, order)
    assert first == struck_by(7, order[::-1])
    assert 40 < len(first) < 110
    assert first != struck_by(8, order)


def test_each_wave_draws_anew() -> None:
    book = FaultBook()
    entry = book.add(fault("drop", probability=0.5, every_s=1), 7, START)

    def wave(now: float) -> list[bool]:
        return [entry.hits(str(number), 0) for _ in book.advance(now) for number in range(50)]

    waves = [wave(START), wave(START + 1)]
    assert waves[0] != waves[1]
    assert entry.struck == sum(map(sum, waves))


@pytest.mark.parametrize(("probability", "count"), [(0, 0), (1, 150)])
def test_probability_of_none_and_one_are_certain(probability: float, count: int) -> None:
    order = [(str(application), nth) for application in range(50) for nth in range(3)]
    assert len(struck_by(7, order, probability)) == count


def test_draw_is_spread_over_the_unit_interval() -> None:
    drawn = [draw(1, number) for number in range(1000)]
    assert 0 <= min(drawn) < 0.05
    assert 0.95 < max(drawn) < 1


def test_single_act_strikes_once_at_its_time_and_is_over() -> None:
    book = FaultBook()
    entry = book.add(fault("drop", after_s=5), 1, START)
    assert (entry.state(START), book.due_at()) == (State.SCHEDULED, START + 5)
    assert moments(book, START + 4.9) == []
    assert moments(book, START + 5) == [(1, "strike")]
    assert (entry.state(START + 5), book.due_at()) == (State.OVER, float("inf"))
    assert moments(book, START + 100) == []


def test_waves_come_on_time_until_the_end() -> None:
    book = FaultBook()
    entry = book.add(fault("reconnect", every_s=10, for_s=25), 1, START)
    struck_at = []
    for second in range(40):
        struck_at += [second for _, moment in book.advance(START + second) if moment is Moment.STRIKE]
    assert struck_at == [0, 10, 20]
    assert (entry.waves, entry.over) == (3, True)


def test_missed_waves_are_not_made_up_for() -> None:
    book = FaultBook()
    book.add(fault("reconnect", every_s=1), 1, START)
    assert moments(book, START) == [(1, "strike")]
    assert moments(book, START + 10.5) == [(1, "strike")]
    assert book.due_at() == START + 11


def test_standing_fault_strikes_once_and_stays_until_its_end() -> None:
    book = FaultBook()
    entry = book.add(fault("no_acks", for_s=10), 1, START)
    assert moments(book, START) == [(1, "strike")]
    assert entry.state(START + 9.9) is State.ACTIVE
    assert moments(book, START + 10) == [(1, "end")]
    assert entry.state(START + 10) is State.OVER


def test_what_is_due_together_comes_in_order_of_time() -> None:
    book = FaultBook()
    book.add(fault("drop", after_s=3), 1, START)
    book.add(fault("no_acks", after_s=1, for_s=1), 1, START)
    assert moments(book, START + 5) == [(2, "strike"), (2, "end"), (1, "strike")]


def test_only_active_faults_of_the_application_stand() -> None:
    book = FaultBook()
    book.add(fault("refuse_resume", applications=["1"]), 1, START)
    book.add(fault("refuse_resume", after_s=10), 1, START)
    book.add(fault("no_acks"), 1, START)

    def standing(application_id: str | None, now: float) -> list[int]:
        return [entry.id for entry, _ in book.standing(kinds.RefuseResume, application_id, now)]

    assert (standing("1", START), standing("2", START), standing(None, START)) == ([1], [], [])
    assert standing("1", START + 10) == [1, 2]
    book.remove(1)
    assert standing("1", START + 10) == [2]
    assert book.remove(1) is None


def test_seed_of_the_fault_itself_wins() -> None:
    assert FaultBook().add(fault("drop", seed=5), 1, START).seed == 5


def test_book_forgets_what_has_long_been_over() -> None:
    book = FaultBook()
    for _ in range(limits.FAULTS_KEPT + 10):
        book.add(fault("drop"), 1, START)
        assert len(moments(book, START)) == 1
    assert len(list(book)) == limits.FAULTS_KEPT + 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "one of rest_latency, "),
        ({}, "There is no kind None; there are rest_latency, rest_error, "),
        ({"kind": "deaf", "loud": True}, "unknown field `loud`. The fields of deaf are applications, after_s, "),
        ({"kind": "no_acks", "every_s": 1}, "unknown field `every_s`"),
        ({"kind": "drop", "every_s": 0}, "Expected `float` >= 0.01 - at `$.every_s`"),
        ({"kind": "drop", "probability": 1.1}, "Expected `float` <= 1.0"),
        ({"kind": "drop", "applications": ["x"]}, "at `$.applications"),
        ({"kind": "rest_latency"}, "missing required field `ms`"),
        ({"kind": "rest_429", "scope": "all"}, r"scope (global, shared, user)"),
        ({"kind": "rest_error", "status": 418}, r"status (500, 502, 503, 504)"),
        ({"kind": "rest_down", "route": "channels"}, "route must be a method or *"),
        ({"kind": "close", "code": 99}, "Expected `int` >= 1000"),
    ],
)
def test_fault_there_is_not_is_refused_with_what_there_is(body: Any, said: str) -> None:
    with pytest.raises(kinds.FaultRefusedError) as caught:
        kinds.parse(body)
    assert said in str(caught.value)


def test_every_kind_says_what_it_does_and_takes_its_own_defaults() -> None:
    for name, kind in kinds.KINDS.items():
        told = kinds.describe(kind)
        assert (told["kind"], bool(told["description"])) == (name, True)
        assert {"applications", "after_s", "for_s", "probability", "seed"} <= {
            field["name"] for field in told["fields"]
        }
        needed = {"ms": 1} if name == "rest_latency" else {}
        assert isinstance(fault(name, **needed), kind)


@pytest.mark.parametrize(
    ("route", "matches"),
    [(None, True), ("POST /channels/", True), ("* /channels/1", True), ("GET /channels/", False), ("* /users", False)],
)
def test_route_is_a_method_and_the_start_of_a_path(route: str | None, matches: bool) -> None:
    found = fault("rest_down", route=route)
    assert isinstance(found, kinds.Rest)
    assert found.matches("POST", "/channels/1/messages") is matches


def test_occasions_of_one_application_do_not_move_those_of_another() -> None:
    def run(order: str) -> dict[str, list[bool]]:
        entry = Entry(1, fault("rest_error", probability=0.5), 3, START, START + 9, START)
        drawn: dict[str, list[bool]] = {}
        for application in order:
            drawn.setdefault(application, []).append(entry.hits_next(application))
        return drawn

    assert run("a" * 20 + "b" * 20) == run("ab" * 20)
