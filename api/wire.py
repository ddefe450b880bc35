"""Reading bodies and writing answers: JSON by msgspec, strict about types."""

from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from quart import Response, request

from api.problems import BadInputError
from flotilla.errors import FixInputError

Model = TypeVar("Model")


async def read_body(model: type[Model]) -> Model:
    """Return the request's JSON body. Raises FixInputError (`json_malformed`, `input_invalid`), never quoting it."""
    raw = await request.get_data(as_text=False)
    try:
        return msgspec.json.decode(raw, type=model)
    except msgspec.ValidationError as fault:
        raise BadInputError(fault) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FixInputError("The body is not JSON. Send a JSON object.", code="json_malformed") from None


def aware(at: datetime | None) -> datetime | None:
    """Return a time that a caller gave; one without a zone is UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def answer(body: msgspec.Struct, status: int = 200, *, location: str | None = None) -> Response:
    """Return `body` as a JSON answer."""
    response = Response(msgspec.json.encode(body), status, content_type="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response
