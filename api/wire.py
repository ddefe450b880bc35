"""Reading bodies and writing answers: JSON by msgspec, strict about types; versions as ETags."""

import re
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from quart import Response, request

from api.problems import BadInputError
from flotilla.errors import FixInputError

Model = TypeVar("Model")
_ETAG = re.compile(r'"(\d{1,9})"')


async def read_body(model: type[Model]) -> Model:
    """Return the request's JSON body. Raises FixInputError (`json_malformed`, `input_invalid`), never quoting it."""
    raw = await request.get_data(as_text=False)
    try:
        return msgspec.json.decode(raw, type=model)
    except msgspec.ValidationError as fault:
        raise BadInputError(fault) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FixInputError("The body is not JSON. Send a JSON object.", code="json_malformed") from None


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def aware(at: datetime | None) -> datetime | None:
    """Return a time that a caller gave, in UTC; one without a zone is UTC.

    What lies before 1970 or after 9999 is the end that is nearer: nothing of ours is older or newer, and neither ids
    nor databases know such times.
    """
    if at is None:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(at, _EARLIEST), _LATEST).astimezone(UTC)


def answer(body: msgspec.Struct, status: int = 200, *, location: str | None = None) -> Response:
    """Return `body` as a JSON answer."""
    response = Response(msgspec.json.encode(body), status, content_type="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response


def tagged(response: Response, version: int) -> Response:
    """Return `response` with the version of what it shows as its ETag."""
    response.headers["ETag"] = f'"{version}"'
    return response


def if_match() -> int | None:
    """Return the version that a change is meant for, None for any. Raises FixInputError (`request_malformed`)."""
    given = request.headers.get("If-Match", "").strip()
    if given in {"", "*"}:
        return None
    found = _ETAG.fullmatch(given)
    if found is None:
        raise FixInputError(
            'If-Match is one ETag as it was answered, such as "3". Leave it out to change any version.',
            code="request_malformed",
        )
    return int(found[1])
