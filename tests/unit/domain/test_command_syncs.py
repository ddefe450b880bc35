"""What of a bot's commands is due, and how Discord's refusals read."""

from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.command_syncs import GLOBAL, Registered, commands_named, explained

APP = 7
NAMES = ["ping", "shop"]
ERRORS = {
    "1": {
        "options": {
            "0": {"name": {"_errors": [{"code": "STRING_TYPE_REGEX", "message": "String value did not match."}]}}
        },
        "_errors": [{"code": "X", "message": "Too big."}],
    }
}
hashes = st.dictionaries(st.sampled_from([GLOBAL, "1", "2"]), st.sampled_from("abc"))


def test_only_what_differs_is_due_and_scopes_without_commands_are_emptied_first() -> None:
    known = Registered(APP, 0, {GLOBAL: "a", "1": "b", "2": "c"})
    assert known.due({GLOBAL: "a", "1": "x", "3": "d"}) == ["2", "1", "3"]
    assert known.due({GLOBAL: "a"}, empty=False) == []
    assert known.accepted("2", None).accepted("1", "x").scopes == {GLOBAL: "a", "1": "x"}


@given(known=hashes, wanted=hashes)
def test_nothing_is_due_once_all_is_accepted(known: dict[str, str], wanted: dict[str, str]) -> None:
    registered = Registered(APP, 0, known)
    for scope in registered.due(wanted):
        registered = registered.accepted(scope, wanted.get(scope))
    assert registered.due(wanted) == []
    assert registered.scopes == wanted


def test_what_was_refused_is_sent_again_only_when_it_has_changed_or_is_ordered() -> None:
    refused = Registered(APP, 0, {GLOBAL: "a"}).rejected(GLOBAL, "b")
    assert refused.under(APP, 0).due({GLOBAL: "b"}) == []
    assert refused.due({GLOBAL: "c"}) == [GLOBAL]
    assert refused.under(APP, 1).due({GLOBAL: "b"}) == [GLOBAL]
    assert refused.accepted(GLOBAL, "c").refused == {}


def test_an_order_or_another_application_makes_all_due() -> None:
    known = Registered(APP, 1, {GLOBAL: "a", "1": "b"})
    assert known.under(APP, 1) is known
    assert known.under(APP, 2).due({GLOBAL: "a"}) == ["1", GLOBAL]
    assert known.under(APP + 1, 1).due({GLOBAL: "a"}) == [GLOBAL]


def test_refusals_name_the_command_and_the_place() -> None:
    assert commands_named(ERRORS, NAMES) == ("shop",)
    assert explained(ERRORS, NAMES) == "shop > options > 0 > name: String value did not match.; shop: Too big."


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_answer_of_discords_is_too_odd(errors: object) -> None:
    assert isinstance(explained(errors, NAMES), str)
    assert len(commands_named(errors, NAMES)) <= 5
    assert isinstance(explained({"9": errors, "_errors": errors}, NAMES), str)
