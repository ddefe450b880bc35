"""What was told of the host and of its bots, for the tests beside this file."""

from typing import Any

import sqlalchemy as sa

from flotilla.db.tables import happenings
from tests.stack import Stack, until


async def told(stack: Stack, code: str) -> list[dict[str, Any]]:
    """Return the details of all happenings of a kind, oldest first."""
    query = sa.select(happenings.c.detail).where(happenings.c.code == code).order_by(happenings.c.id)
    async with stack.database.read() as connection:
        return [dict(detail or {}) for detail in (await connection.execute(query)).scalars()]


async def until_told(stack: Stack, code: str, deadline_s: float = 30.0, **facts: object) -> dict[str, Any]:
    """Wait until a happening of a kind with these facts is stored; return its detail."""

    async def check() -> dict[str, Any] | None:
        return next((row for row in await told(stack, code) if facts.items() <= row.items()), None)

    found: dict[str, Any] = await until(check, f"{code} with {facts} is told", deadline_s)
    return found
