"""Requests at random: values that fit a schema of the description, and what a hostile client makes of them.

Everything comes from one `random.Random`, so a seed repeats a run.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from tests.judges.description import Description

Schema = Mapping[str, Any]
_DEEP = 6
_WORDS = (
    "a",
    "name",
    "Straße",
    "日本語",
    "👍🏽",
    "e\u0301",
    "https://example.com/ä?q=1#x",
    "-1",
    "null",
    "\u202e",
    "x y",
)
_URLS = ("https://example.com/a.png", "http://example.com", "attachment://a.txt")
# What the sandbox always refuses, or what fits nothing but its counterpart elsewhere in the request.
_SELDOM = ("poll", "sticker_ids", "attachments", "shared_client_theme", "icon", "unicode_emoji", "thread_name")
_NUL = "\x00\n\r\t\x7f"
HUGE_TEXT = "x" * 20_000
DEEP_LIST: Any = None
for _ in range(200):
    DEEP_LIST = [DEEP_LIST]
HOSTILE: Sequence[Any] = (
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64, 2**70, -(2**63) - 1, 10**4_000, 0.5, -0.0, 1e308, "", "0",
    " ", "x", "-5", "1" * 25, "\ud800", _NUL, HUGE_TEXT, "_errors", "@original", "2020-01-01T00:00:00Z", "99999-01-01",
    [], [None], [[]], [{}], {}, {"": None}, {"_errors": {"_errors": 1}}, DEEP_LIST, [1] * 3_000, ["x", "x"],
)  # fmt: skip


class Generator:
    """Draws values. ids: snowflakes of all sorts of objects, real, foreign and deleted.

    description: where the references of schemas lead.
    """

    def __init__(self, description: Description | None, draw: Random, ids: Sequence[str]) -> None:
        self._description = description
        self._draw = draw
        self._ids = ids

    def value(self, schema: Schema, depth: int = 0) -> Any:
        """Return a value that fits a schema, or nearly: what formats and sums demand is not always kept."""
        schema = self._description.resolved(schema) if self._description is not None else schema
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self.value(self._draw.choice(schema[key]), depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._draw.choice(schema["enum"])
        if "allOf" in schema:
            return self.value(schema["allOf"][0], depth)
        kinds = schema.get("type", "object")
        kind = self._draw.choice(kinds) if isinstance(kinds, list) else kinds
        if kind == "object":
            return self._object(schema, depth)
        return self._array(schema, depth) if kind == "array" else self._scalar(kind, schema)

    def _scalar(self, kind: str, schema: Schema) -> Any:
        if kind == "string":
            return self._text(schema)
        if kind in {"integer", "number"}:
            least, most = schema.get("minimum", 0), schema.get("maximum", 100)
            number = self._draw.choice((least, most, self._draw.randint(int(least), int(most))))
            return number + 0.5 if kind == "number" and number < most else number
        return None if kind == "null" else self._draw.random() < 0.5

    def _text(self, schema: Schema) -> str:
        if schema.get("format") == "snowflake":
            return self._draw.choice(self._ids)
        if schema.get("format") in {"uri", "iri"}:
            return self._draw.choice(_URLS)
        if schema.get("format") == "date-time":
            return "2027-01-01T12:00:00+02:00"
        if schema.get("pattern") == "^[0-9]+$":
            return str(self._draw.getrandbits(self._draw.randint(1, 52)))
        least, most = schema.get("minLength", 0), min(schema.get("maxLength", 40), 5_000)
        text = self._draw.choice(_WORDS) * self._draw.choice((1, 1, 1, most))
        return text[: most - least].ljust(max(least, 1), "y") if most else ""

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)
        count = least if depth > _DEEP else self._draw.randint(least, max(least, most))
        made = [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]
        if schema.get("uniqueItems"):
            made = [each for index, each in enumerate(made) if each not in made[:index]]
        return made

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        wanted = 0.05 if depth > _DEEP else self._draw.choice((0.1, 0.5))
        made = {
            name: self.value(shape, depth + 1)
            for name, shape in schema.get("properties", {}).items()
            if name in required or self._draw.random() < (wanted if name not in _SELDOM else 0.05)
        }
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            keys = self._draw.sample(("de", "fr", "en-US", "0", "1", "xx"), k=self._draw.randint(0, 2))
            made |= {key: self.value(more, depth + 1) for key in keys}
        return made

    def mutated(self, value: Any) -> Any:
        """Return a copy with one to three places changed to something that a hostile client would send there."""
        root = [copy.deepcopy(value)]
        for _ in range(self._draw.choice((1, 1, 2, 3))):
            self._change(root)
        return root[0]

    def _change(self, root: list[Any]) -> None:
        places = list(_places(root))
        holder, key = self._draw.choice(places[1:] or places)
        match self._draw.randrange(6):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder[key], dict):
                extra = self._draw.choice(("_errors", "type", "id", "🙂", "extra", "components"))
                holder[key][extra] = self._hostile()
            case 2 if isinstance(holder[key], list) and holder[key]:
                holder[key] = holder[key] * self._draw.choice((2, 12, 45))
            case 3 if isinstance(holder[key], str):
                holder[key] += self._draw.choice((" ", "\n", "é", "x" * 5_000, "\ud83d"))
            case 4 if type(holder[key]) is int:
                holder[key] = self._draw.choice(
                    (str(holder[key]), -holder[key], holder[key] + 1, float(holder[key] % 99))
                )
            case _:
                holder[key] = self._hostile()

    def _hostile(self) -> Any:
        return copy.deepcopy(self._draw.choice(HOSTILE))

    def hostile_body(self) -> bytes:
        """Return what is no JSON, or no JSON of an object."""
        return self._draw.choice((
            b"", b"{", b"\xff\xfe", b"[" * 5_000, b'{"a":' * 5_000, b"nul", b"NaN", b"1e999",
            b'"' + b"x" * 9_000 + b'"',
            b"[]", b"null", b"5", b'{"content": "\\ud800"}', b"\x00", b'{"content": ' + b"9" * 5_000 + b"}",
            b'{"a": 1, "a": 2}', b'\xef\xbb\xbf{"content": "x"}',
        ))  # fmt: skip


def _places(node: Any) -> Any:
    """Yield (container, key) of everything within a value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(pairs):
        yield node, key
        if isinstance(value, dict | list) and value is not DEEP_LIST:
            yield from _places(value)


def as_json(value: Any) -> bytes:
    """Return JSON in ASCII; lone surrogates and numbers of any length are written as they are."""
    return json.dumps(value).encode()
