"""Discord's rules for application commands: what a 50035 says about a command's body. Pure."""

import re
from collections.abc import Iterable
from typing import Any

from sandbox import limits
from sandbox.errors import FieldFaults

CHAT_INPUT, SUB_COMMAND, SUB_COMMAND_GROUP = 1, 1, 2
_TYPES = (1, 2, 3)
_NESTED = (SUB_COMMAND, SUB_COMMAND_GROUP)
_OPTION_TYPES = tuple(range(1, 12))
_CHAT_INPUT_NAME = re.compile(r"^[-_'\w]{1,32}$")  # documented: Application Command Naming
Path = tuple[str | int, ...]


def check_command(body: dict[str, Any], faults: FieldFaults, path: Path = ()) -> None:
    """Record what Discord would refuse in the complete body of a command."""
    kind = body.get("type") or CHAT_INPUT
    if not faults.choice((*path, "type"), kind, _TYPES):
        return
    _check_name(body, faults, path, slash=kind == CHAT_INPUT)
    if kind == CHAT_INPUT:
        _check_description(body, faults, path)
        _check_options(body.get("options"), faults, (*path, "options"), depth=0)
    elif body.get("description"):
        message = "Context menu commands cannot have description"
        faults.add((*path, "description"), "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION", message)


def check_all(bodies: list[Any], faults: FieldFaults) -> None:
    """Record what Discord would refuse in a bulk overwrite."""
    seen: set[tuple[str, str]] = set()
    for index, body in enumerate(bodies):
        if not isinstance(body, dict):
            faults.add((index,), "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            continue
        check_command(body, faults, (index,))
        key = (str(body.get("type") or CHAT_INPUT), str(body.get("name")))
        if key in seen:
            message = "Application command names must be unique"
            faults.add((index, "name"), "APPLICATION_COMMANDS_DUPLICATE_NAME", message)
        seen.add(key)


def _check_name(body: dict[str, Any], faults: FieldFaults, path: Path, *, slash: bool) -> None:
    path = (*path, "name")
    if "name" not in body:
        faults.required(path)
    elif (
        faults.text(path, body["name"], limits.COMMAND_NAME_MAX, 1)
        and slash
        and (not _CHAT_INPUT_NAME.match(body["name"]) or body["name"] != body["name"].lower())
    ):
        faults.add(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def _check_description(body: dict[str, Any], faults: FieldFaults, path: Path) -> None:
    if not body.get("description"):
        faults.required((*path, "description"))
    else:
        faults.text((*path, "description"), body["description"], limits.COMMAND_DESCRIPTION_MAX, 1)


def _check_options(raw: object, faults: FieldFaults, path: Path, *, depth: int) -> None:
    if raw is None:
        return
    options = faults.sequence(path, raw, limits.COMMAND_OPTIONS_MAX)
    names: set[str] = set()
    optional_seen = False
    for index, option in enumerate(options):
        here = (*path, index)
        if not isinstance(option, dict):
            faults.add(here, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            continue
        _check_option(option, faults, here, depth=depth)
        if str(option.get("name")) in names:
            message = "Option name already exists in this command"
            faults.add((*here, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", message)
        names.add(str(option.get("name")))
        if option.get("required") and optional_seen:
            message = "Required options must be placed before non-required options"
            faults.add(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message)
        optional_seen = optional_seen or not option.get("required")
    _check_mixture(options, faults, path)


def _check_option(option: dict[str, Any], faults: FieldFaults, path: Path, *, depth: int) -> None:
    _check_name(option, faults, path, slash=True)
    _check_description(option, faults, path)
    kind = option.get("type")
    if kind is None:
        faults.required((*path, "type"))
    elif faults.choice((*path, "type"), kind, _OPTION_TYPES):
        nested = kind in _NESTED
        too_deep = depth > 1 or (depth == 1 and kind == SUB_COMMAND_GROUP)
        if nested and too_deep:
            faults.add(
                (*path, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Sub-command option type is invalid"
            )
        elif nested:
            _check_options(option.get("options"), faults, (*path, "options"), depth=depth + 1)
        elif option.get("choices") is not None:
            _check_choices(option["choices"], faults, (*path, "choices"))


def _check_choices(raw: object, faults: FieldFaults, path: Path) -> None:
    for index, choice in enumerate(faults.sequence(path, raw, limits.COMMAND_CHOICES_MAX)):
        for key in ("name", "value"):
            if not isinstance(choice, dict) or key not in choice:
                faults.required((*path, index, key))


def _check_mixture(options: Iterable[Any], faults: FieldFaults, path: Path) -> None:
    nested = {option.get("type") in _NESTED for option in options if isinstance(option, dict)}
    if len(nested) > 1:
        message = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        faults.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)
