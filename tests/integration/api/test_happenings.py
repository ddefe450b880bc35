"""What happened, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from ulid import ULID

from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.happenings import Happening
from tests.builders import T0
from tests.integration.api.conftest import Api


async def note(api: Api, *rows: tuple[str | None, str, dict[str, Any]]) -> None:
    events = [
        Happening(str(ULID.from_datetime(T0 + timedelta(seconds=n))), bot_id, T0 + timedelta(seconds=n), code, detail)
        for n, (bot_id, code, detail) in enumerate(rows)
    ]
    await SqlFleetStore(api.services.database).record_happenings(events)


async def test_happenings_are_listed_newest_first_with_what_to_do(api: Api) -> None:
    bot = await api.add_bot(1)
    await note(
        api, (bot["id"], "deaf", {"quiet_s": 50.5}), (None, "invalid_requests", {}), (None, "of_a_later_release", {})
    )
    page = await api.get("/api/v1/happenings")
    assert [row["code"] for row in page["items"]] == ["of_a_later_release", "invalid_requests", "deaf"]
    assert page["items"][2] | {"id": ""} == {
        "id": "",
        "at": "2026-01-02T03:04:05Z",
        "bot_id": bot["id"],
        "bot_name": "bot-0001",
        "code": "deaf",
        "source": "flotilla",
        "severity": "warning",
        "title": "session went deaf",
        "remedy": "Nothing now: Flotilla renews the session.",
        "detail": {"quiet_s": 50.5},
    }
    assert (page["items"][1]["bot_name"], page["items"][1]["severity"]) == (None, "critical")


async def test_happenings_are_narrowed_and_paged(api: Api) -> None:
    first, second = await api.add_bot(1), await api.add_bot(2)
    await note(api, (first["id"], "deaf", {}), (second["id"], "hearing", {}), (first["id"], "memory_limit", {}))
    for query, codes in (
        ("bot=bot-0001", ["memory_limit", "deaf"]),
        (f"bot={second['id']}", ["hearing"]),
        ("severity=critical", ["memory_limit"]),
        ("code=hearing", ["hearing"]),
        ("code=unknown", []),
    ):
        assert [row["code"] for row in (await api.get(f"/api/v1/happenings?{query}"))["items"]] == codes
    page = await api.get("/api/v1/happenings?limit=2")
    rest = await api.get(f"/api/v1/happenings?limit=2&cursor={page['next_cursor']}")
    assert [row["code"] for row in rest["items"]] == ["deaf"]
    assert rest["next_cursor"] is None
    await api.problem(await api.call("GET", "/api/v1/happenings?cursor=nonsense"), 422, "cursor_invalid")


async def test_inspection_has_the_last_happenings_and_the_vitals(api: Api) -> None:
    bot = await api.add_bot(1)
    await note(api, *((bot["id"], "deaf", {"n": n}) for n in range(7)))
    shown = await api.get(f"/api/v1/bots/{bot['id']}/inspection")
    assert [row["detail"]["n"] for row in shown["happenings"]] == [6, 5, 4, 3, 2]
    assert shown["vitals"]["delivery"] is None


@pytest.mark.parametrize("path", ["/api/v1/happenings", "/api/v1/command-logs"])
@pytest.mark.parametrize(
    "at",
    [
        *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "1969-12-31T23:59:59Z", "1960-01-01"),
        *("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z"),
    ],
)
async def test_times_at_the_ends_of_the_calendar_are_no_fault_of_ours(api: Api, path: str, at: str) -> None:
    for name in ("since", "until"):
        response = await api.call("GET", f"{path}?{name}={at}")
        assert response.status_code in {200, 422}, await response.get_data(as_text=True)
