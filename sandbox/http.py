"""JSON over HTTP, shared by REST and control: answers, bodies, and the aiohttp keys."""

from typing import Any

import msgspec
from aiohttp import BodyPartReader, web

from sandbox import errors
from sandbox.errors import DiscordError
from sandbox.local_discord import LocalDiscord

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
        raw = await _payload_json(request)
    else:
        raw = await request.read()
    if not raw:
        return None
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


async def _payload_json(request: web.Request) -> bytes | None:
    try:
        reader = await request.multipart()
        async for part in reader:
            if isinstance(part, BodyPartReader) and part.name == "payload_json":
                return bytes(await part.read())
    except ValueError:
        raise DiscordError(errors.INVALID_FORM_BODY) from None
    return None
