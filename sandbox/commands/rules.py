"""Discord's rules for application commands: what a 50035 says about a command's body. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sandbox import limits
from sandbox.commands import shapes
from sandbox.commands.shapes import SUB_COMMAND, SUB_COMMAND_GROUP
from sandbox.errors import FieldFaults
from sandbox.shapes import Path

CHAT_INPUT = 1
ENTRY_POINT = 4
_NESTED = (SUB_COMMAND, SUB_COMMAND_GROUP)
_OPTION_TYPES = tuple(range(1, 12))
_CHAT_INPUT_NAME = re.compile(r"[-_'\w]{1,32}")  # documented: Application Command Naming


def check_command(body: dict[str, Any], faults: FieldFaults, path: Path = ()) -> None:
    """Record what Discord would refuse in the complete body of a command."""
    before = faults.count
    if not shapes.COMMAND(body, faults, path):
        return
    kind = body.get("type") or CHAT_INPUT
    _check_name(body, faults, path, slash=kind == CHAT_INPUT)
    if kind == CHAT_INPUT:
        _check_description(body, faults, path)
        _check_options(body.get("options"), faults, (*path, "options"), depth=0)
    elif kind != ENTRY_POINT and body.get("description") not in ("", None):
        message = "Context menu commands cannot have description"
        faults.add((*path, "description"), "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION", message)
    if kind != CHAT_INPUT and body.get("options"):
        message = "Context menu commands cannot have options"
        faults.add((*path, "options"), "APPLICATION_COMMAND_CONTEXT_MENU_OPTIONS", message)
    if faults.count == before and sum(_sizes(body)) > limits.COMMAND_SIZE_MAX:
        message = f"Command exceeds maximum size ({limits.COMMAND_SIZE_MAX})"
        faults.add(path, "APPLICATION_COMMAND_TOO_LARGE", message)


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
    if body.get("name") is None:
        faults.required((*path, "name"))
    elif not faults.text((*path, "name"), body["name"], limits.COMMAND_NAME_MAX, 1):
        return
    names = {(*path, "name_localizations", key): name for key, name in (body.get("name_localizations") or {}).items()}
    for where, name in {(*path, "name"): body.get("name"), **names}.items():
        if slash and name is not None and (not _CHAT_INPUT_NAME.fullmatch(name) or name != name.lower()):
            faults.add(where, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


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
    kind = option.get("type")
    if kind is None:
        faults.required((*path, "type"))
        return
    if not faults.choice((*path, "type"), kind, _OPTION_TYPES) or not shapes.check_option(kind, option, faults, path):
        return
    _check_name(option, faults, path, slash=True)
    _check_description(option, faults, path)
    if kind in _NESTED and (depth > 1 or (depth == 1 and kind == SUB_COMMAND_GROUP)):
        faults.add((*path, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Sub-command option type is invalid")
    elif kind in _NESTED:
        _check_options(option.get("options"), faults, (*path, "options"), depth=depth + 1)
        if kind == SUB_COMMAND_GROUP:
            _check_group(option.get("options"), faults, (*path, "options"))
    else:
        _check_values(option, faults, path)


def _check_group(raw: object, faults: FieldFaults, path: Path) -> None:
    for index, option in enumerate(raw if isinstance(raw, list) else []):
        if isinstance(option, dict) and option.get("type") != SUB_COMMAND:
            message = "A sub-command group can hold sub-commands only"
            faults.add((*path, index, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)


def _check_values(option: dict[str, Any], faults: FieldFaults, path: Path) -> None:
    for suffix in ("length", "value"):
        least, most = option.get(f"min_{suffix}"), option.get(f"max_{suffix}")
        if least is not None and most is not None and least > most:
            message = f"min_{suffix} must not be above max_{suffix}"
            faults.add((*path, f"min_{suffix}"), "APPLICATION_COMMAND_OPTIONS_MIN_ABOVE_MAX", message)
    choices = option.get("choices") or []
    if choices and option.get("autocomplete"):
        message = "Choices and autocomplete are mutually exclusive"
        faults.add((*path, "autocomplete"), "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_WITH_CHOICES", message)
    seen: set[str] = set()
    for index, choice in enumerate(choices):
        if choice["name"] in seen:
            message = "Choice name already exists in this option"
            faults.add((*path, "choices", index), "APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_ALREADY_EXISTS", message)
        seen.add(choice["name"])


def _check_mixture(options: Iterable[Any], faults: FieldFaults, path: Path) -> None:
    nested = {option.get("type") in _NESTED for option in options if isinstance(option, dict)}
    if len(nested) > 1:
        message = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        faults.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)


def _sizes(node: dict[str, Any]) -> Iterator[int]:
    """Yield the lengths that make up a checked command's size; of translations the longest counts."""
    for key in ("name", "description"):
        texts = [node.get(key) or "", *(node.get(f"{key}_localizations") or {}).values()]
        yield max(map(len, texts))
    if isinstance(node.get("value"), str):
        yield len(node["value"])
    for key in ("options", "choices"):
        for nested in node.get(key) or []:
            yield from _sizes(nested)
