"""JSON over HTTP, shared by REST and control: answers, bodies, and the aiohttp keys."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import BodyPartReader, web

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.local_discord import LocalDiscord
from sandbox.messages.attachments import Upload
from sandbox.world.objects import Json

DISCORD: web.AppKey[LocalDiscord] = web.AppKey("discord", LocalDiscord)
_URL_ENCODED, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_FORMS = (_URL_ENCODED, _MULTIPART)
_TEXT_FIELDS = ("content", "username", "avatar_url", "thread_name", "nonce")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}  # either spelling is what clients send
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")
_encode = msgspec.json.Encoder().encode


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=_encode(body), status=status, content_type="application/json", headers=headers)


async def read_json(request: web.Request) -> Any:  # noqa: ANN401 - any JSON value
    """Return the request's JSON, or the `payload_json` field of a multipart form (None when it has none).

    Raises DiscordError 50109 if it is not JSON.
    """
    if request.content_type in _FORMS:
        return (await read_message(request))[0]
    raw = await request.read()
    return _decode(raw) if raw else None


def _decode(raw: bytes | str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what JSON says. Raises DiscordError 50109 also for JSON nested deeper, or numbers longer, than is sane."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
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
    if request.content_type not in _FORMS:
        return await read_object(request), []
    if request.content_type == _URL_ENCODED:
        return _from_fields(
            dict(parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True))
        ), []
    parts = await _parts(request)
    body = _from_fields({name: content.decode(errors="replace") for name, file, content in parts if file is None})
    uploads = [
        Upload(name.removeprefix("files[").removesuffix("]"), filename, content)
        for name, filename, content in parts
        if filename is not None
    ]
    return body, uploads


def _from_fields(fields: dict[str, str]) -> dict[str, Any]:
    """Return the JSON object in a form's `payload_json`; without one, the form's own fields are the object's."""
    if "payload_json" in fields:
        body = _decode(fields["payload_json"])
        if not isinstance(body, dict):
            raise _not_a("Only dictionaries may be used in a ModelType")
        return body
    body = {key: value for key, value in fields.items() if key in _TEXT_FIELDS}
    if "tts" in fields:
        body["tts"] = _BOOLEANS.get(fields["tts"].lower(), fields["tts"])
    return body


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
    except (ValueError, AssertionError, LookupError, web.HTTPException):  # broken boundaries, headers, encodings
        raise DiscordError(errors.INVALID_FORM_BODY) from None
    return parts


def boolean_query(request: web.Request, name: str) -> bool:
    """Return a switch in the query, false if it is not there; raise DiscordError 50035 for what is no switch."""
    text = request.query.get(name, "false")
    value = _BOOLEANS.get(text.lower())
    if value is None:
        faults = FieldFaults()
        faults.add((name,), "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        faults.raise_if_any()
    return bool(value)


def numbers_query(request: web.Request, names: Iterable[str]) -> Json:
    """Return those of the names that the query gives; what is no number stays text, for a shape to refuse."""
    given = {name: request.query[name] for name in names if name in request.query}
    return {name: int(value) if _NUMBER.fullmatch(value) else value for name, value in given.items()}


def page_query(request: web.Request, default: int, most: int, cursors: tuple[str, ...]) -> tuple[int, dict[str, int]]:
    """Return `limit` (from 1 to `most`) and those of the cursors that are given, as numbers.

    Raises DiscordError 50035 for what is no number or too large.
    """
    faults = FieldFaults()
    numbers: dict[str, int] = {}
    for key in ("limit", *cursors):
        value = request.query.get(key)
        if value is not None and not _NUMBER.fullmatch(value):
            kind = "int" if key == "limit" else "snowflake"
            faults.add((key,), "NUMBER_TYPE_COERCE", f'Value "{value}" is not {kind}.')
        elif value is not None:
            numbers[key] = int(value)
    limit = numbers.pop("limit", default)
    faults.number(("limit",), limit, 1, most)
    faults.raise_if_any()
    return limit, numbers
