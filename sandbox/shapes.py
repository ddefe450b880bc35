"""The shapes of request bodies: each says what a value must be, and what a 50035 says of one that is not. Pure.

A shape is called with a value, the faults so far and the path to the value; it returns whether the value is right.
Nulls are the record's business: a field that is null counts as absent unless the record says that it is required.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.errors import FieldFaults
from sandbox.world.permissions import DESCRIBED_MAX

Path = tuple[str | int, ...]
Shape = Callable[[Any, FieldFaults, Path], bool]
INT32_MAX: Final = 2**31 - 1
_SNOWFLAKE = re.compile(r"(0|[1-9][0-9]{0,19})", re.ASCII)
_SNOWFLAKE_MAX = 2**64 - 1
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_URL = re.compile(
    r"^[a-z]+://(?P<host>[^/?#:@\[\]]+)(:[0-9]{1,5})?"
    r"(/([\w\-.~:/@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)?"
    r"(\?([\w\-.~:/@!$&'()*+,;=?]|%[0-9A-Fa-f]{2})*)?"
    r"(#([\w\-.~:/@!$&'()*+,;=?]|%[0-9A-Fa-f]{2})*)?$"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HOST = re.compile(r"^([\w\-.~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$")
_BEYOND = re.compile(r"[\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff\U000e0000-\U0010ffff]")  # RFC 3987: not in an IRI
LINKS: Final = ("http", "https")
PICTURES: Final = (*LINKS, "attachment")


def text(longest: int, shortest: int = 0) -> Shape:
    """A text of `shortest` to `longest` characters."""
    return lambda value, faults, path: faults.text(path, value, longest, shortest)


def integer(least: int, most: int) -> Shape:
    """A whole number from `least` to `most`."""

    def check(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
        faults.number(path, value, least, most)
        return type(value) is int and least <= value <= most

    return check


def number(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """A number, whole or not."""
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right:
        faults.add(path, "FLOAT_TYPE_COERCE", f'Value "{value}" is not a float.')
    return right


def boolean(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """True or false."""
    if not isinstance(value, bool):
        faults.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
    return isinstance(value, bool)


def choice(*choices: int | str) -> Shape:
    """One of some numbers or names."""

    def check(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
        right = type(value) in {int, str} and value in choices
        if not right:
            told = ", ".join(map(repr, choices))
            faults.add(path, "BASE_TYPE_CHOICES", f"Value must be one of {{{told}}}.")
        return right

    return check


def snowflake(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """An id; Discord takes digits and whole numbers alike."""
    if type(value) is int:
        right = 0 <= value <= _SNOWFLAKE_MAX
    else:
        right = isinstance(value, str) and _SNOWFLAKE.fullmatch(value) is not None and int(value) <= _SNOWFLAKE_MAX
    if not right:
        faults.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
    return right


def permissions(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """A set of permissions, as digits (documented) or a whole number (described)."""
    digits = isinstance(value, str) and _DIGITS.fullmatch(value) is not None
    right = (digits or type(value) is int) and 0 <= int(value) <= DESCRIBED_MAX
    if not right:
        faults.add(path, "PERMISSIONS_TYPE_INVALID", f'Value "{value}" is not a permission bit field.')
    return right


def url(longest: int, *schemes: str) -> Shape:
    """A URL of one of these schemes."""

    def check(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
        if not faults.text(path, value, longest):
            return False
        scheme = value.partition(":")[0]
        if scheme not in schemes:
            named = ", ".join(map(repr, schemes))
            faults.add(path, "URL_TYPE_INVALID_SCHEME", f'Scheme "{scheme}" must be one of ({named}).')
            return False
        parts = _URL.fullmatch(value)
        right = parts is not None and _HOST.fullmatch(parts["host"]) is not None and not _BEYOND.search(value)
        if not right:
            faults.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
        return right

    return check


def moment(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """A time in ISO 8601."""
    try:
        as_utc(value)
    except (TypeError, ValueError, OverflowError):
        faults.add(path, "DATE_TIME_TYPE_PARSE", f"Could not parse {value}. Should be ISO8601.")
        return False
    return True


def as_utc(value: str) -> datetime:
    """Return the time that a checked ISO 8601 text stands for, in UTC; one without a zone is UTC.

    Raises TypeError, ValueError or OverflowError for anything else.
    """
    if not _DATE.match(value):
        raise ValueError("it does not begin with a date")  # Python reads an id as a time, too
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def items(each: Shape, longest: int, shortest: int = 0, *, unique: bool = False, nulls: bool = False) -> Shape:
    """A list of `shortest` to `longest` values of one shape. nulls: whether it may hold nulls."""

    def check(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
        rows = faults.sequence(path, value, longest)
        if not isinstance(value, list) or len(value) > longest:
            return False
        if len(rows) < shortest:
            faults.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {shortest} and {longest} in length.")
            return False
        right = True
        for index, row in enumerate(rows):
            if row is None and not nulls:
                faults.add((*path, index), "LIST_ITEM_VALUE_REQUIRED", "List item values of ListType are required")
                right = False
            elif row is not None:
                right = each(row, faults, (*path, index)) and right
        return right and (not unique or _all_differ(rows, faults, path))

    return check


def _all_differ(rows: list[Any], faults: FieldFaults, path: Path) -> bool:
    for index, row in enumerate(rows):
        if row in rows[:index]:
            faults.add((*path, index), "SET_TYPE_ALREADY_CONTAINS_VALUE", f"The Set already contains {row!r}")
            return False
    return True


def table(each: Shape, longest: int, keys: Collection[str] = (), shortest: int = 0) -> Shape:
    """An object of `shortest` to `longest` values of one shape. keys: those it may have, any if there are none."""

    def check(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
        if not isinstance(value, dict):
            faults.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
            return False
        if len(value) > longest:
            faults.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {longest} or fewer in length.")
            return False
        if len(value) < shortest:
            faults.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {shortest} and {longest} in length.")
            return False
        right = True
        for key, row in value.items():
            if keys and key not in keys:
                faults.add((*path, key), "ENUM_TYPE_COERCE", f'Value "{key}" is not a valid enum value.')
                right = False
            else:
                right = each(row, faults, (*path, key)) and right
        return right

    return check


def record(fields: Mapping[str, Shape], required: Collection[str] = (), filled: Collection[str] = ()) -> Shape:
    """An object; fields that it does not name are ignored, as Discord does.

    required: those that must be there. filled: those that may be absent, but not null.
    """

    def check(value: Any, faults: FieldFaults, path: Path) -> bool:  # noqa: ANN401 - any JSON value
        if not isinstance(value, dict):
            faults.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            return False
        right = True
        for name, shape in fields.items():
            if value.get(name) is not None:
                right = shape(value[name], faults, (*path, name)) and right
            elif name in required or (name in filled and name in value):
                faults.required((*path, name))
                right = False
        return right

    return check


def check(shape: Shape, body: object, path: Path = ()) -> None:
    """Raise DiscordError 50035 unless a body has this shape. path: where in the request it lies."""
    faults = FieldFaults()
    shape(body, faults, path)
    faults.raise_if_any()
