"""What Discord refuses of commands, told before they are registered. Pure.

Numbers and pattern: Discord, "Application Commands" (structure, naming, registering).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

NAME: Final = re.compile(r"^[-_'\w\u0900-\u097F\u0E00-\u0E7F]{1,32}$")
MAX_SLASH: Final = 100
MAX_DESCRIPTION: Final = 100
MAX_OPTIONS: Final = 25
MAX_CHOICES: Final = 25
_SLASH: Final = 1
_KINDS: Final = {1: "slash", 2: "user", 3: "message", 4: "entry point"}
_OF_COMMANDS: Final = {1, 2}
"""Types of options that are subcommands or groups of them."""

Json = dict[str, Any]


def kind_of(command: Json) -> str:
    """Return what a command is used on."""
    return _KINDS.get(int(command.get("type") or _SLASH), "other")


def faults(commands: Iterable[Json]) -> tuple[str, ...]:
    """Return why Discord would refuse to register these commands of one place, a sentence each."""
    known = list(commands)
    found = [fault for command in known for fault in _of(command, f"/{command.get('name')}")]
    counts = Counter((kind_of(command), command.get("name")) for command in known)
    found += [f"There are {count} {kind} commands named {name}." for (kind, name), count in counts.items() if count > 1]
    slash = sum(kind_of(command) == "slash" for command in known)
    if slash > MAX_SLASH:
        found.append(f"There are {slash} slash commands; Discord takes {MAX_SLASH}.")
    return tuple(found)


def _of(command: Json, where: str) -> Iterator[str]:
    name = str(command.get("name") or "")
    if kind_of(command) != "slash":
        if not 1 <= len(name) <= 32:  # noqa: PLR2004 - see NAME
            yield f"{where}: a name has 1 to 32 characters."
        return
    yield from _of_named(command, where)


def _of_named(part: Json, where: str) -> Iterator[str]:
    """Yield the faults of a slash command, or of one of its options."""
    name = str(part.get("name") or "")
    if not NAME.match(name) or name != name.lower():
        yield f"{where}: a name has 1 to 32 letters in lower case, digits, hyphens or underscores."
    if not 1 <= len(str(part.get("description") or "")) <= MAX_DESCRIPTION:
        yield f"{where}: a description has 1 to {MAX_DESCRIPTION} characters."
    options = part.get("options") or ()
    if len(options) > MAX_OPTIONS:
        yield f"{where}: it has {len(options)} options; Discord takes {MAX_OPTIONS}."
    if len(part.get("choices") or ()) > MAX_CHOICES:
        yield f"{where}: it has {len(part['choices'])} choices; Discord takes {MAX_CHOICES}."
    optional = False
    for option in options:
        below = " " if option.get("type") in _OF_COMMANDS else ", option "
        yield from _of_named(option, f"{where}{below}{option.get('name')}")
        if option.get("required") and optional:
            yield f"{where}: the option {option.get('name')} is required and stands behind one that is not."
        optional |= not option.get("required") and option.get("type") not in _OF_COMMANDS
