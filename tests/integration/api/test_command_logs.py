"""What users did, over HTTP."""

from datetime import timedelta

from msgspec import structs
from ulid import ULID

from flotilla.db.command_logs import SqlCommandLogs
from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from tests.builders import T0
from tests.integration.api.conftest import Api

FIELDS = {"bot_name": "bot-0001", "kind": "command", "name": "ping", "options": {"item": "pizza"}, "first_ms": 4.5}


async def test_command_logs_are_listed_narrowed_and_paged(api: Api) -> None:
    bot = await api.add_bot(1)
    rows = []
    for second in range(3):
        at = T0 + timedelta(seconds=second)
        log = CommandLog(
            str(ULID.from_datetime(at)), at.timestamp(), Kind.COMMAND, "ping", Outcome.ANSWERED, 2**60, 2**61
        )
        rows.append((bot["id"], structs.replace(log, guild_id=7 + second, options={"item": "pizza"}, first_ms=4.5)))
    failed = structs.replace(rows[2][1], outcome=Outcome.FAILED, error="ValueError", reference="K7QW3M2A")
    await SqlCommandLogs(api.services.database).record_command_logs([*rows[:2], (bot["id"], failed)])
    page = await api.get("/api/v1/command-logs?limit=2")
    assert [row["guild_id"] for row in page["items"]] == ["9", "8"]
    assert page["items"][1] | FIELDS == page["items"][1]
    assert (page["items"][1]["at"], page["items"][1]["user_id"]) == ("2026-01-02T03:04:06Z", str(2**61))
    rest = await api.get(f"/api/v1/command-logs?limit=2&cursor={page['next_cursor']}")
    assert ([row["guild_id"] for row in rest["items"]], rest["next_cursor"]) == (["7"], None)
    for query, guilds in (
        ("reference=K7QW3M2A", ["9"]),
        ("outcome=answered&guild=8", ["8"]),
        ("since=2026-01-02T03:04:06Z&until=2026-01-02T03:04:07Z", ["8"]),
        ("since=2026-01-02T03:04:07", ["9"]),
        (f"user={2**61}&bot=bot-0001&name=ping&kind=command", ["9", "8", "7"]),
        ("user=1", []),
    ):
        found = await api.get(f"/api/v1/command-logs?{query}")
        assert [row["guild_id"] for row in found["items"]] == guilds, query
    await api.problem(await api.call("GET", f"/api/v1/command-logs?user={2**63}"), 422, "input_invalid")
