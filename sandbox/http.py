"""JSON over HTTP, shared by REST and control: answers, bodies, and the aiohttp keys."""

from typing import Any

import msgspec
from aiohttp import BodyPartReader, web

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.local_discord import LocalDiscord
from sandbox.messages.attachments import Upload

DISCORD: web.AppKey[LocalDiscord] = web.AppKey("discord", LocalDiscord)
_encode = msgspec.json.Encoder().encode


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=_encode(body), status=status, content_type="application/json", headers=headers)


async def read_json(request: web.Request) -> Any:  # noqa: ANN401 - any JSON value
    """Return the request's JSON, or the `payload_json` field of a multipart form (None when it has none).

    Raises DiscordError 50109 if it is not JSON.
    """
    if request.content_type == "multipart/form-data":
        return (await read_message(request))[0]
    raw = await request.read()
    return _decode(raw) if raw else None


def _decode(raw: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DiscordError(errors.INVALID_JSON) from None


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object; raise DiscordError 50035 for anything else."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise _not_a("Only dictionaries may be used in a ModelType")
    return body


async def read_list(request: web.Request) -> list[Any]:
    """Return the request's JSON array; raise DiscordError 50035 for anything else."""
    body = await read_json(request)
    if not isinstance(body, list):
        raise _not_a("Only iterables may be used in a ListType")
    return body


def _not_a(message: str) -> DiscordError:
    return DiscordError(errors.INVALID_FORM_BODY, {"_errors": [{"code": "MODEL_TYPE_CONVERT", "message": message}]})


async def read_message(request: web.Request) -> tuple[dict[str, Any], list[Upload]]:
    """Return a request's JSON object and the files that came with it as a multipart form.

    Raises DiscordError 50035 or 50109 for anything else, 40005 for more bytes than a request may have.
    """
    if request.content_type != "multipart/form-data":
        return await read_object(request), []
    parts = await _parts(request)
    raw = next((content for name, _, content in parts if name == "payload_json"), None)
    fields = {name: content.decode(errors="replace") for name, filename, content in parts if filename is None}
    body = _decode(raw) if raw is not None else {k: v for k, v in fields.items() if k in {"content", "username"}}
    if not isinstance(body, dict):
        raise _not_a("Only dictionaries may be used in a ModelType")
    uploads = [
        Upload(name.removeprefix("files[").removesuffix("]"), filename, content)
        for name, filename, content in parts
        if filename is not None
    ]
    return body, uploads


async def _parts(request: web.Request) -> list[tuple[str, str | None, bytes]]:
    """Return (name, file name, content) of each part of a form."""
    parts: list[tuple[str, str | None, bytes]] = []
    room = limits.REQUEST_MAX_BYTES
    try:
        reader = await request.multipart()
        async for part in reader:
            if isinstance(part, BodyPartReader):
                content = bytes(await part.read())
                parts.append((part.name or "", part.filename, content))
                room -= len(content)
                if room < 0:
                    raise DiscordError(errors.TOO_LARGE)
    except ValueError:
        raise DiscordError(errors.INVALID_FORM_BODY) from None
    return parts


def flag(request: web.Request, name: str) -> bool:
    """Return whether the query has `name` set; clients write `true`, `True` and `1`."""
    return request.query.get(name, "").lower() in {"true", "1"}


def page_query(request: web.Request, default: int, most: int, cursors: tuple[str, ...]) -> tuple[int, dict[str, int]]:
    """Return `limit` (from 1 to `most`) and those of the cursors that are given, as numbers.

    Raises DiscordError 50035 for what is no number or too large.
    """
    faults = FieldFaults()
    numbers: dict[str, int] = {}
    for key in ("limit", *cursors):
        value = request.query.get(key)
        if value is not None and not value.isdecimal():
            kind = "int" if key == "limit" else "snowflake"
            faults.add((key,), "NUMBER_TYPE_COERCE", f'Value "{value}" is not {kind}.')
        elif value is not None:
            numbers[key] = int(value)
    limit = numbers.pop("limit", default)
    faults.number(("limit",), limit, 1, most)
    faults.raise_if_any()
    return limit, numbers
