"""The table of problems, and what is told of a schema fault."""

import re
from pathlib import Path
from typing import Literal

import msgspec
import pytest

import flotilla
from api.problems import PROBLEMS, field_error
from api.schemas import FieldError

ROOT = Path(flotilla.__file__).parents[1]


def test_page_about_the_api_shows_exactly_the_table_of_problems() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(code, str(kind.status), kind.title) for code, kind in PROBLEMS.items()]


def test_every_code_that_a_request_can_raise_is_in_the_table() -> None:
    places = ["api", "flotilla/db", "flotilla/discord.py", "flotilla/domain/bots.py", "flotilla/domain/operations.py"]
    files = [file for place in places for file in (ROOT / place, *(ROOT / place).rglob("*.py")) if file.is_file()]
    raised = {code for file in files for code in re.findall(r'\bcode ?= ?"(\w+)"', file.read_text())}
    # Raised at start alone: they end the program.
    at_start = {"database_url_invalid", "database_newer", "database_older", "database_claimed"}
    # A SetupError while serving is answered as `misconfigured`; its own code is in the log.
    assert raised - at_start - {"database_refused"} <= set(PROBLEMS)
    assert "name_taken" in raised


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["a", "b"] = "a"
    rows: list[dict[str, int]] = []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"mode":"s3cret"}', FieldError("Not one of the allowed values", "#/mode")),
        (b'{"rows":[{"a":1},{"b":"x"}]}', FieldError("Expected `int`, got `str`", "#/rows/1")),
        (b'{"rows":5}', FieldError("Expected `array`, got `int`", "#/rows")),
        (b'{"tag":5}', FieldError("Object contains unknown field `tag`", "#")),
        (b'{"s3cret.Value":5}', FieldError("Object contains an unknown field", "#")),
        (b"[]", FieldError("Expected `object`, got `array`", "#")),
    ],
)
def test_fault_names_the_place_and_never_the_value(body: bytes, expected: FieldError) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(body, type=Sample)
    assert field_error(raised.value) == expected
