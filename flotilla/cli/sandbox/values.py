"""What people type on the command line and what it stands for: durations, options, users. Pure but for files."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import typer

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|min|m|h|d)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,15})")
"""Up to 16 digits: longer ones are beyond what Discord takes as an integer, 2**53, and are ids."""
_NUMBER = re.compile(r"-?\d+\.\d+")
_SNOWFLAKE = re.compile(r"\d{15,20}")


def seconds(text: str) -> float:
    """Return a duration in seconds: `90`, `90s`, `1.5m`, `2h`, `250ms`. Raises BadParameter (exit code 2)."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration. Write it like 250ms, 90s, 5m, 1h or 2d.")
    return float(match["number"]) * _UNITS_S[match["unit"]]


def optional_seconds(text: str | None) -> float | None:
    """Return a duration in seconds if there is one."""
    return None if text is None else seconds(text)


def pairs(texts: list[str] | None) -> dict[str, Any]:
    """Return the values of `name=value` options by name.

    true, false and numbers become such, everything else is text. `name:=JSON` says the type; `name@FILE` uploads the
    text of a file. Raises BadParameter (exit code 2).
    """
    return dict(_pair(text) for text in texts or ())


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if sign and name.endswith(":"):
        return name[:-1], _json(text, value)
    if sign and name:
        return name, guessed(value)
    name, sign, path = text.partition("@")
    if sign and name:
        return name, _file(Path(path))
    raise typer.BadParameter(f"{text!r} is not name=value (nor name:=JSON, nor name@FILE).")


def _json(text: str, value: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(value)
    except ValueError:
        raise typer.BadParameter(
            f"What follows := in {text!r} is not JSON; text needs quotes: name:='\"5\"'."
        ) from None


def _file(path: Path) -> dict[str, str]:
    try:
        return {"filename": path.name, "text": path.read_text("utf-8")}
    except (OSError, UnicodeDecodeError) as fault:
        raise typer.BadParameter(f"{path} cannot be read as a text file ({type(fault).__name__}).") from None


def guessed(text: str) -> bool | int | float | str:
    """Return true, false and numbers as such, and everything else as text."""
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def fields(texts: list[str] | None) -> dict[str, Any]:
    """Return what is filled into a form: text by the fields' custom ids; a list where a field is given twice.

    `name:=JSON` for anything else. Raises BadParameter (exit code 2).
    """
    filled: dict[str, Any] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{text!r} is not name=value (nor name:=JSON).")
        if name.endswith(":"):
            filled[name[:-1]] = _json(text, value)
        elif name in filled:
            before = filled[name]
            filled[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            filled[name] = value
    return filled


def person(user: str | None) -> dict[str, str] | None:
    """Return the body's `user`: by id, or by a name, which always stands for the same person.

    The sandbox makes a new user for each name it is sent; an id that follows from the name keeps ann one person.
    """
    if user is None:
        return None
    return {"id": user} if is_id(user) else {"id": user_id(user), "username": user}


def user_id(user: str) -> str:
    """Return the id of a user, given by id or by name."""
    if is_id(user):
        return user
    digest = hashlib.blake2b(user.encode(), digest_size=8).digest()
    return str(10**17 + int.from_bytes(digest) % 10**16)


def is_id(text: str) -> bool:
    """Return whether a text has the form of a Discord id."""
    return _SNOWFLAKE.fullmatch(text) is not None


def command_name(text: str) -> str:
    """Return a command as the sandbox takes it: `/stock show` without its slash."""
    return " ".join(text.removeprefix("/").split())
