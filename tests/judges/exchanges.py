"""One request and its answer, held against Discord's description. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from tests.judges import deviations
from tests.judges.description import Description, Operation

_JSON, _FORM, _MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}  # either spelling is what Discord's clients send


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said.

    path: below `/api/v10`, percent-encoded. query: without its "?".
    content_type: the request's, with its parameters; answer_type: the answer's, without.
    headers: the answer's, names in lower case.
    """

    method: str
    path: str
    status: int
    query: str = ""
    content_type: str = _JSON
    body: bytes = b""
    answer_type: str = _JSON
    answer: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def violations(description: Description, exchange: Exchange) -> list[str]:
    """Return what in an exchange is not as Discord describes it, a line each.

    An answer must always fit. A request must fit if it was accepted: what Discord would refuse may look as it likes.
    """
    if deviations.is_of_the_edge(exchange.status, exchange.answer_type, exchange.headers):
        return []
    operation = description.operation(exchange.method, exchange.path)
    accepted = exchange.status < 300
    told = [f"answer: {fault}" for fault in _answer_faults(description, operation, exchange)]
    told += [f"header {fault}" for fault in _header_faults(description, exchange.headers)]
    if operation is not None and accepted:
        told += [f"request: {fault}" for fault in _body_faults(description, operation, exchange)]
        told += [f"parameter {fault}" for fault in _parameter_faults(description, operation, exchange)]
    return [f"{exchange.method} {exchange.path} -> {exchange.status}: {fault}" for fault in told]


def _answer_faults(description: Description, operation: Operation | None, exchange: Exchange) -> list[str]:
    if operation is None:
        if (exchange.method, exchange.path) in deviations.NOT_DESCRIBED:
            return []
        if exchange.status >= 400:
            return _content_faults(description, "/components/responses/ClientErrorResponse", exchange)
        return ["the description has no such operation"]
    for key in (str(exchange.status), f"{exchange.status // 100}XX"):
        if key in operation.raw["responses"]:
            reference = operation.raw["responses"][key].get("$ref")
            pointer = reference.removeprefix("#") if reference else operation.pointer("responses", key)
            return _content_faults(description, pointer, exchange)
    return [f"the description knows no such status, only {', '.join(operation.raw['responses'])}"]


def _content_faults(description: Description, pointer: str, exchange: Exchange) -> list[str]:
    content = description.at(pointer).get("content")
    if content is None:
        return [f"a body of {len(exchange.answer)} bytes, where there must be none"] if exchange.answer else []
    if exchange.answer_type not in content:
        return [f"it is {exchange.answer_type!r}, not {' or '.join(content)}"]
    if exchange.answer_type != _JSON:
        return []
    try:
        value = json.loads(exchange.answer)
    except ValueError:
        return [f"it is not JSON: {exchange.answer[:100]!r}"]
    return description.faults(f"{pointer}/content/application~1json/schema", value)


def _header_faults(description: Description, headers: Mapping[str, str]) -> Iterator[str]:
    for name in description.document["components"]["headers"]:
        value = headers.get(name.lower())
        if value is not None:
            pointer = f"/components/headers/{name}/schema"
            for fault in description.faults(pointer, _as_value(description, description.at(pointer), [value])):
                yield f"{name}: {fault}"


def _parameter_faults(description: Description, operation: Operation, exchange: Exchange) -> Iterator[str]:
    in_path = operation.path_values(exchange.path)
    in_query: dict[str, list[str]] = {}
    for key, value in parse_qsl(exchange.query, keep_blank_values=True):
        in_query.setdefault(key, []).append(value)
    for pointer, parameter in operation.parameters.items():
        name = parameter["name"]
        given = [in_path[name]] if parameter["in"] == "path" else in_query.pop(name, [])
        if given:
            value = _as_value(description, parameter["schema"], given)
            yield from (f"{name}: {fault}" for fault in description.faults(f"{pointer}/schema", value))
        elif parameter.get("required"):
            yield f"{name} is missing"
    yield from (f"{name} is none of this operation" for name in in_query)


def _as_value(description: Description, schema: Mapping[str, Any], given: list[str]) -> Any:
    """Return what the text of a parameter stands for; text that stands for nothing else is left to the schema."""
    schema = description.resolved(schema)
    kinds = {schema.get("type")} | {description.resolved(branch).get("type") for branch in schema.get("oneOf", [])}
    if "array" in kinds and (len(given) > 1 or "string" not in kinds):
        return [_as_value(description, schema.get("items", {}), [text]) for text in given]
    text = given[-1]
    if "boolean" in kinds:
        return _BOOLEANS.get(text.lower(), text)
    if kinds & {"integer", "number"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _body_faults(description: Description, operation: Operation, exchange: Exchange) -> list[str]:
    described = operation.raw.get("requestBody")
    if described is None:
        return [] if exchange.body in {b"", b"{}", b"null"} else ["it has a body, where there must be none"]
    if not exchange.body:
        return ["its body is missing"] if described.get("required") else []
    kind = exchange.content_type.partition(";")[0].strip().lower()
    if kind not in described["content"]:
        return [f"it is {kind!r}, not {' or '.join(described['content'])}"]
    try:
        value = _request_value(kind, exchange)
    except ValueError:
        return ["its JSON is broken"]
    pointer = operation.pointer("requestBody", "content", kind, "schema")
    return description.faults(pointer, value)


def _request_value(kind: str, exchange: Exchange) -> Any:
    if kind == _FORM:
        return dict(parse_qsl(exchange.body.decode()))
    if kind != _MULTIPART:
        return json.loads(exchange.body)
    parsed = message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (exchange.content_type.encode(), exchange.body))
    value: dict[str, Any] = {}
    for part in parsed.walk():
        name = part.get_param("name", header="content-disposition")
        if name == "payload_json":
            value |= json.loads(_content(part))
        elif isinstance(name, str):
            value[name] = "" if part.get_filename() else _content(part).decode()
    return value


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
