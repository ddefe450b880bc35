"""How a config is changed: a merge patch (RFC 7396) onto what is set, read strictly; faults name the place."""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from flotilla.domain.config import MAX_CONFIG_BYTES, BotConfig, GuildConfig
from flotilla.errors import FixInputError

MAX_DEPTH: Final = 20
"""Objects and lists within each other; below what any of the libraries that read a config gives up at."""

_MAX_INTEGER: Final = 2**63 - 1
"""Workers are told in MessagePack, which has no larger ones; nor have databases."""

Config = TypeVar("Config", BotConfig, GuildConfig)


def merged(target: object, patch: object) -> Any:  # noqa: ANN401 - JSON
    """Return `target` with `patch` as RFC 7396 has it: objects are merged, null removes, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    kept: dict[str, Any] = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept


def changed(config: Config, changes: Mapping[str, object]) -> Config:
    """Return `config` with a merge patch on it; null goes back to the default.

    Raises FixInputError (`config_invalid`, `config_too_large`) that names the place, and then nothing has changed.
    """
    _require_shallow(changes)
    return parsed(merged(msgspec.to_builtins(config), changes), type(config))


def parsed(values: Mapping[str, object], kind: type[Config]) -> Config:
    """Return a config from JSON's objects. Raises FixInputError (`config_invalid`, `config_too_large`)."""
    unknown = sorted(set(values) - set(kind.__struct_fields__))
    if unknown:
        shown = ", ".join(repr(name[:40]) for name in unknown[:5])
        names = ", ".join(kind.__struct_fields__)
        raise FixInputError(f"There is no {shown} in a config. There are: {names}.", code="config_invalid")
    _require_shallow(values)
    try:
        config = msgspec.convert(dict(values), kind)
        size = len(msgspec.json.encode(config))
    except msgspec.ValidationError as fault:
        raise FixInputError(f"The config is wrong: {_sentence(str(fault))}.", code="config_invalid") from None
    except UnicodeEncodeError:
        raise FixInputError("The config has half of a surrogate pair.", code="config_invalid") from None
    if size > MAX_CONFIG_BYTES:
        raise FixInputError(
            f"The config has {size} bytes as JSON, and may have {MAX_CONFIG_BYTES}. It is for settings, not for data.",
            code="config_too_large",
            limit_bytes=MAX_CONFIG_BYTES,
        )
    return config


def lenient(stored: Mapping[str, object], kind: type[Config]) -> Config:
    """Return a stored config without what this release does not understand: that must not keep its bot from running."""
    understood: dict[str, object] = {}
    for name in kind.__struct_fields__:
        if name in stored:
            try:
                msgspec.convert({name: stored[name]}, kind)
            except msgspec.ValidationError:
                continue
            understood[name] = stored[name]
    return msgspec.convert(understood, kind)


_PLACE = re.compile(r" - at `(?:(?P<key>key)` in `)?\$\.?(?P<path>[^`]*)`$")


def _sentence(fault: str) -> str:
    """Return msgspec's sentence with the place in front, where a reader looks for it."""
    found = _PLACE.search(fault)
    if found is None:
        return fault
    name_of = "a name in " if found["key"] else ""
    return f"{name_of}{found['path'] or 'the whole'}: {fault[: found.start()]}"


def _require_shallow(values: object) -> None:
    """Raise FixInputError for what is nested too deep or has a number too large. Walks without recursion."""
    level, depth = [("", values)], 0
    while level:
        if depth > MAX_DEPTH:
            raise FixInputError(f"The config is nested deeper than {MAX_DEPTH} levels.", code="config_invalid")
        deeper: list[tuple[str, object]] = []
        for path, value in level:
            if isinstance(value, Mapping):
                deeper += [(f"{path}.{name}" if path else str(name), inner) for name, inner in value.items()]
            elif isinstance(value, list | tuple):
                deeper += [(f"{path}[{place}]", inner) for place, inner in enumerate(value)]
            elif isinstance(value, int) and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
                raise FixInputError(f"The config is wrong: {path}: the number is too large.", code="config_invalid")
        level, depth = deeper, depth + 1
