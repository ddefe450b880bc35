"""Roll-overs over HTTP: asked for, refused, shown. The supervisor's side is played."""

from datetime import timedelta
from typing import Any

import pytest

from flotilla.db.fleet import SqlFleetStore
from flotilla.domain.bots import BotStatus
from flotilla.domain.rollover_record import Phase, RolloverStatus
from flotilla.domain.worker import State
from tests.builders import T0
from tests.integration.api.conftest import JSON, Api

PATH = "/api/v1/rollovers"


async def begin(api: Api) -> JSON:
    response = await api.call("POST", PATH, {})
    assert response.status_code == 202
    answer: JSON = await response.get_json()
    assert response.headers["Location"] == f"{PATH}/{answer['id']}"
    return answer


async def test_a_rollover_is_asked_for_with_a_nudge_and_waits_for_the_supervisor(api: Api) -> None:
    begun = await begin(api)
    assert (begun["state"], begun["moved"], begun["reason"], begun["requested_by"]) == ("pending", 0, None, "admin-key")
    assert api.nudges.sent == 1
    assert await api.get(f"{PATH}/{begun['id']}") == begun


async def test_what_the_supervisor_reports_is_shown(api: Api) -> None:
    begun = await begin(api)
    await api.services.rollovers.save(
        RolloverStatus(
            begun["id"], Phase.ROLLED_BACK, 2, 3, 4, 9, 0, 0, "why", "Traceback", T0, T0 + timedelta(seconds=1)
        )
    )
    shown = await api.get(f"{PATH}/{begun['id']}")
    assert (shown["state"], shown["wave"], shown["old_server"], shown["new_server"]) == ("rolled_back", 2, 3, 4)
    assert (shown["reason"], shown["details"], shown["total"]) == ("why", "Traceback", 9)
    assert (shown["started_at"], shown["finished_at"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z")


async def test_a_second_one_is_refused_until_the_first_has_ended(api: Api) -> None:
    begun = await begin(api)
    problem = await api.problem(await api.call("POST", PATH, {}), 409, "rollover_under_way")
    assert begun["id"] in problem["detail"]
    await api.services.rollovers.save(RolloverStatus(begun["id"], Phase.DONE))
    second = await begin(api)
    page = await api.get(f"{PATH}?limit=1")
    rest = await api.get(f"{PATH}?limit=1&cursor={page['next_cursor']}")
    assert [row["id"] for row in page["items"] + rest["items"]] == [second["id"], begun["id"]]


async def test_a_dry_run_says_how_it_would_go_and_asks_for_nothing(api: Api) -> None:
    states: list[dict[str, Any]] = [
        {"state": State.RUNNING, "ready": True},
        {"state": State.RUNNING, "ready": True, "failures": 1},
        *({"state": State.RUNNING, "ready": True} for _ in range(3)),
        {"state": State.FATAL},
    ]
    statuses = []
    for number, changes in enumerate(states):
        bot = await api.add_bot(number)
        statuses.append(BotStatus(bot["id"], **changes))
    await api.add_bot(99, desired="stopped")
    await SqlFleetStore(api.services.database).save(statuses, [])
    answer = await (await api.call("POST", PATH, {"dry_run": True})).get_json()
    assert answer == {
        "total": 5,
        "canary": "bot-0000",
        "waves": [1, 2, 1],
        "unjudged": 1,
        "in_motion": 1,
        "least_s": 15.0,
        "session_starts": 5,
        "dry_run": True,
    }
    assert (await api.get(PATH))["items"] == []


async def test_a_dry_run_of_an_idle_fleet_moves_nothing(api: Api) -> None:
    answer = await (await api.call("POST", PATH, {"dry_run": True})).get_json()
    assert (answer["total"], answer["canary"], answer["waves"]) == (0, None, [])


@pytest.mark.parametrize("body", [{"dry_run": "yes"}, {"extensions": ["x"]}, []])
async def test_a_body_of_another_shape_is_refused(api: Api, body: object) -> None:
    await api.problem(await api.call("POST", PATH, body), 422, "input_invalid")
    assert (await api.get(PATH))["items"] == []


async def test_one_that_nobody_asked_for_is_not_found(api: Api) -> None:
    await api.problem(await api.call("GET", f"{PATH}/nope"), 404, "rollover_unknown")
