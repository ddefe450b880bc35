import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flotilla.domain.bounds import plain
from flotilla.domain.command_logs import MAX_OPTIONS_BYTES, REDACTED, shown

texts = st.text(max_size=6000)
options = st.dictionaries(
    st.text(min_size=1, max_size=32), texts | st.integers() | st.booleans() | st.none(), max_size=25
)


@given(options)
def test_options_are_bounded_whatever_users_type(given_options: dict[str, object]) -> None:
    kept = shown(given_options)
    assert len(msgspec.json.encode(kept)) <= MAX_OPTIONS_BYTES + 100
    assert set(kept) - {"…"} <= {plain(name, 100) for name in given_options}


def test_long_texts_are_cut_and_what_is_sensitive_is_redacted() -> None:
    kept = shown({"item": "x" * 6000, "amount": 3, "password": "hunter2"}, frozenset({"password"}))
    assert kept == {"item": "x" * 60 + "… (6000 characters)", "amount": 3, "password": REDACTED}


def test_options_that_find_no_room_are_counted() -> None:
    kept = shown({f"option-{number:02}": "ä" * 60 for number in range(25)})
    assert kept["…"] == f"{25 - (len(kept) - 1)} more"
