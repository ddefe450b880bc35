from pathlib import Path
from typing import Any

import pytest
import typer

from flotilla.cli.sandbox import values
from flotilla.cli.sandbox.text import duration, milliseconds, remaining


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("250ms", 0.25), ("1.5m", 90.0), ("2 min", 120.0), ("1h", 3600.0), ("2d", 172800.0)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert values.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1w", "1h30m", "inf", "nan", "1e3"])
def test_what_is_no_duration_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=true", True),
        ("a=True", "True"),
        ("a=0", 0),
        ("a=-12", -12),
        ("a=007", "007"),
        ("a=9007199254740992", 9007199254740992),
        ("a=123456789012345678", "123456789012345678"),
        ("a=1.50", 1.5),
        ("a=1e5", "1e5"),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ("a=@everyone", "@everyone"),
        ('a:="5"', "5"),
        ("a:=[1, null]", [1, None]),
    ],
)
def test_option_values_become_what_they_look_like_unless_their_type_is_said(text: str, value: Any) -> None:
    ((name, got),) = values.pairs([text]).items()
    assert (name, got, type(got)) == ("a", value, type(value))


@pytest.mark.parametrize("text", ["a", "=b", "a:=nope", "@file", "a@/no/such/file"])
def test_what_is_no_option_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.pairs([text])


def test_a_file_is_uploaded_as_its_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("apples")
    assert values.pairs([f"list@{path}"]) == {"list": {"filename": "a.txt", "text": "apples"}}
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(typer.BadParameter, match="cannot be read as a text file"):
        values.pairs([f"list@{path}"])


def test_fields_are_text_and_a_repeated_one_is_a_list() -> None:
    filled = values.fields(["age=5", "why=", "pick=a", "pick=b", "pick=c", "yes:=true", "form:1=x"])
    assert filled == {"age": "5", "why": "", "pick": ["a", "b", "c"], "yes": True, "form:1": "x"}
    with pytest.raises(typer.BadParameter):
        values.fields(["age"])


def test_a_user_is_named_by_id_or_gets_one_that_follows_from_the_name() -> None:
    assert values.person(None) is None
    assert values.person("123456789012345678") == {"id": "123456789012345678"}
    ann = values.person("ann")
    assert ann is not None
    assert ann == {"id": values.user_id("ann"), "username": "ann"}
    assert values.is_id(ann["id"])
    assert ann["id"] != values.user_id("Ann")


def test_a_command_may_be_written_with_its_slash() -> None:
    assert [values.command_name(text) for text in ("/ping", "stock  show", "/stock show ")] == [
        "ping",
        "stock show",
        "stock show",
    ]


def test_times_are_shown_in_few_figures() -> None:
    assert [duration(s) for s in (0.25, 7, 60, 90, 3600, 5400, 7201)] == [
        "0.25s",
        "7s",
        "1m",
        "1.5m",
        "1h",
        "1.5h",
        "7201s",
    ]
    assert [remaining(s) for s in (0.9, 59.9, 61, 3600, 7199)] == ["0s", "59s", "1m 1s", "1h 0m", "1h 59m"]
    assert [milliseconds(ms) for ms in (0.04, 9.94, 10.4, 2999.6)] == ["0.0 ms", "9.9 ms", "10 ms", "3000 ms"]
