"""Every time that a caller can give to a route, at the ends of what calendars, ids and both databases know."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from quart_schema.validation import QUART_SCHEMA_QUERYSTRING_ATTRIBUTE
from ulid import ULID

from flotilla.db.command_logs import SqlCommandLogs
from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.happenings import Happening
from tests.builders import T0
from tests.integration.api.conftest import Api, made_api

LOCAL = [
    *("0001-01-01T00:00:00", "0001-01-02T00:00:00", "1582-10-10T00:00:00", "1969-12-31T23:59:59.999999"),
    *("1970-01-01T00:00:00", "2026-01-02T03:04:05", "2026-01-02T03:04:05.000001", "2038-01-19T03:14:08"),
    *("2106-02-07T06:28:16", "9999-12-31T00:00:00", "9999-12-31T23:59:59.999999"),
]
OFFSETS = ["", "Z", "+00:01", "+23:59", "-23:59"]
NO_TIMES = [
    *("0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z"),
    *("2026-01-01T24:00:00Z", "2016-12-31T23:59:60Z", "2026-01-01T00:00:00+24:00", "2026-01-01", "yesterday", ""),
    *("nan", "inf", "1e400", "-1e400", "253402300800", "-62135596801", "99999999999999999999", "\0"),
    "٢٠٢٦-01-01T00:00:00Z",
]


def times_of(api: Api) -> list[tuple[str, str]]:
    """Return each path with the name of each of its parameters that is a time, as the API's description has them."""
    found = []
    for rule in api.app.url_map.iter_rules():
        view = api.app.view_functions[rule.endpoint]
        model = getattr(view, QUART_SCHEMA_QUERYSTRING_ATTRIBUTE, None)
        if model is not None:
            found += [(rule.rule, field.encode_name) for field in msgspec.structs.fields(model) if _is_time(field.type)]
    return sorted(set(found))


def _is_time(kind: Any) -> bool:
    return "DateTimeType" in repr(msgspec.inspect.type_info(kind))


def microseconds(local: str, offset: str) -> int:
    """Return how far a time is from 1970 in UTC, by no calendar that ends."""
    distance = datetime.fromisoformat(local) - datetime(1970, 1, 1)  # noqa: DTZ001 - its offset is added below
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", offset)
    if match is not None:
        ahead = timedelta(hours=int(match[2]), minutes=int(match[3]))
        distance -= ahead if match[1] == "+" else -ahead
    return distance // timedelta(microseconds=1)


async def test_every_time_is_understood_or_refused_and_means_what_it_says(database: Database, tmp_path: Path) -> None:
    api = await made_api(database, tmp_path)
    bot = await api.add_bot(1)
    happening = Happening(str(ULID.from_datetime(T0)), bot["id"], T0, "deaf", {})
    await SqlFleetStore(database).record_happenings([happening])
    log = CommandLog(str(ULID.from_datetime(T0)), T0.timestamp(), Kind.COMMAND, "ping", Outcome.ANSWERED, 1, 2)
    await SqlCommandLogs(database).record_command_logs([(bot["id"], log)])
    noted = (T0 - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    times = times_of(api)
    assert {path for path, _ in times} >= {"/api/v1/happenings", "/api/v1/command-logs"}
    for (path, name), local, offset in itertools.product(times, LOCAL, OFFSETS):
        query = f"{path}?{name}={quote(local + offset)}"
        given = microseconds(local, offset)
        if path.endswith("command-logs"):  # by ids, which know milliseconds
            given, exact = given // 1000, noted // 1000
        else:
            exact = noted
        shown = given <= exact if name == "since" else exact < given
        assert len((await api.get(query))["items"]) == shown, query
    for (path, name), text in itertools.product(times, NO_TIMES):
        response = await api.call("GET", f"{path}?{name}={quote(text)}")
        # A NUL is refused at the door, whatever it is said for.
        status, code = (400, "request_malformed") if "\0" in text else (422, "input_invalid")
        await api.problem(response, status, code)
    for (path, _), text in itertools.product(times, (LOCAL[0] + "+23:59", LOCAL[-1] + "-23:59")):
        assert (await api.get(f"{path}?since={quote(text)}&until={quote(text)}"))["items"] == [], text
