"""Discord's own description of its API: which operation a request is, and what fits a schema."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jsonschema_rs

from tests.judges import deviations

METHODS = ("get", "post", "put", "patch", "delete")
ABSENT = (
    "Discord's API description is not here: take openapi.json from https://github.com/discord/discord-api-spec "
    "and name it in DISCORD_OPENAPI"
)
_BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared" / "discord" / "openapi.json"
_URI = "urn:discord"
_SHOWN_CHARACTERS = 300

Schema = dict[str, Any]


def read() -> dict[str, Any] | None:
    """Return the description as Discord publishes it, or None where no file is."""
    path = Path(os.environ.get("DISCORD_OPENAPI", _BESIDE_THE_CHECKOUT))
    return dict(json.loads(path.read_text())) if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path of the description.

    raw: the description's own object. parameters: those of path and query, by the JSON pointer to each.
    """

    method: str
    template: str
    raw: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]

    def path_values(self, path: str) -> dict[str, str]:
        """Return what a path that matches has in the place of each parameter."""
        pairs = zip(segments(self.template), segments(path), strict=True)
        return {key[1:-1]: unquote(value) for key, value in pairs if key.startswith("{")}

    def pointer(self, *keys: str) -> str:
        """Return a JSON pointer to a part of `raw`."""
        return _pointer("paths", self.template, self.method.lower(), *keys)


def _pointer(*keys: str) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def segments(path: str) -> tuple[str, ...]:
    """Return the parts of a path or template between its slashes."""
    return tuple(path.strip("/").split("/"))


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Return all operations of a description."""
    for template, item in document["paths"].items():
        shared = _parameters(item, "paths", template)
        for method in METHODS:
            if method in item:
                own = _parameters(item[method], "paths", template, method)
                yield Operation(method.upper(), template, item[method], shared | own)


def _parameters(item: Mapping[str, Any], *keys: str) -> dict[str, Mapping[str, Any]]:
    listed = item.get("parameters", [])
    return {_pointer(*keys, "parameters", str(index)): parameter for index, parameter in enumerate(listed)}


class Description:
    """The description, corrected, with its validators compiled at first use."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = deviations.correct(document)
        self._registry = jsonschema_rs.Registry([(_URI, self.document)], draft=jsonschema_rs.Draft202012)
        self._validators: dict[str, Any] = {}
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Operation]]]] = {}
        by_template: dict[str, dict[str, Operation]] = {}
        for operation in operations(self.document):
            by_template.setdefault(operation.template, {})[operation.method] = operation
        # Literal segments win over parameters, so templates with early literals come first.
        for template in sorted(by_template, key=lambda path: [part.startswith("{") for part in segments(path)]):
            parts = segments(template)
            self._by_length.setdefault(len(parts), []).append((parts, by_template[template]))

    def operation(self, method: str, path: str) -> Operation | None:
        """Return the operation of a concrete path below `/api/v10`, or None if there is none."""
        wanted = [unquote(part) for part in segments(path)]  # an encoded slash splits nothing
        for parts, methods in self._by_length.get(len(wanted), []):
            if all(part.startswith("{") or part == given for part, given in zip(parts, wanted, strict=True)):
                return methods.get(method)
        return None

    def resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a node's reference leads to, or the node itself."""
        while "$ref" in node:
            node = self.at(node["$ref"].removeprefix("#"))
        return node

    def at(self, pointer: str) -> Any:
        """Return what lies at a JSON pointer."""
        found: Any = self.document
        for key in pointer.split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - as JSON pointers are read
            found = found[int(key)] if isinstance(found, list) else found[key]
        return found

    def faults(self, pointer: str, value: object) -> list[str]:
        """Return what in `value` does not fit the schema at a JSON pointer, each as "where: what"."""
        validator = self._validators.get(pointer)
        if validator is None:
            schema = {"$ref": f"{_URI}#{quote(pointer)}"}
            validator = jsonschema_rs.Draft202012Validator(
                schema, registry=self._registry, validate_formats=True, mask="it", offline=True
            )
            self._validators[pointer] = validator
        if validator.is_valid(value):
            return []
        found: dict[str, list[str]] = {}
        for where, what in _told(validator.iter_errors(value)):
            found.setdefault(where, []).append(what)
        return [f"{where or 'the whole'}: {'; '.join(whats)}" for where, whats in found.items()]

    def component_faults(self, name: str, value: object) -> list[str]:
        """Return what in `value` does not fit the component schema of this name."""
        return self.faults(f"/components/schemas/{name}", value)


def _told(errors: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for error in errors:
        depth = len(error.instance_path)
        branches: list[list[Any]] = getattr(error.kind, "context", None) or []
        meant = [branch for branch in branches if branch and not any(_is_other_kind(fault, depth) for fault in branch)]
        if meant:
            nearest: list[Any] = min(meant, key=len)
            yield from _told(nearest)
            continue
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.instance_path)
        yield where.lstrip("."), _what(error)


def _is_other_kind(error: Any, depth: int) -> bool:
    """Return whether a fault says that another branch of the union at `depth` was meant: a wrong kind, or `type`."""
    below = error.instance_path[depth:]
    return (not below and error.kind.name == "type") or (below == ["type"] and error.kind.name in {"const", "enum"})


def _what(error: Any) -> str:
    if error.kind.name == "required":
        return f"lacks {error.kind.property}"
    text = json.dumps(error.instance, default=str)
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return f"{error.message} (it is {shown})"
