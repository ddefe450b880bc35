"""API keys and supervisors' reports on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.keys import PREFIX, Role, SqlApiKeys
from flotilla.db.supervisors import SqlSupervisors, SupervisorSeen
from flotilla.db.tables import api_keys
from flotilla.domain.vitals import HostVitals
from tests.builders import T0


async def test_key_is_found_by_its_secret_alone(database: Database) -> None:
    keys = SqlApiKeys(database)
    secret = await keys.create("ci", Role.OPERATOR)
    found = await keys.find(secret, T0)
    assert secret.startswith(PREFIX)
    assert found is not None
    assert (found.name, found.role, found.expires_at) == ("ci", Role.OPERATOR, None)
    for wrong in ("", PREFIX, secret[:-1], secret + "a", secret.upper(), found.id, "\x00"):
        assert await keys.find(wrong, T0) is None


async def test_stored_key_does_not_hold_its_secret(database: Database) -> None:
    secret = await SqlApiKeys(database).create("ci", Role.ADMIN)
    async with database.read() as connection:
        row = (await connection.execute(sa.select(api_keys))).one()
    assert secret not in repr(tuple(row))


async def test_expired_key_is_worthless_from_that_moment(database: Database) -> None:
    keys = SqlApiKeys(database)
    secret = await keys.create("guest", Role.VIEWER, expires_at=T0)
    assert await keys.find(secret, T0 - timedelta(seconds=1)) is not None
    assert await keys.find(secret, T0) is None


async def test_revoked_key_is_worthless_and_not_listed(database: Database) -> None:
    keys = SqlApiKeys(database)
    secret = await keys.create("old", Role.ADMIN)
    await keys.create("new", Role.ADMIN)
    found = await keys.find(secret, T0)
    assert found is not None
    assert await keys.revoke(found.id, T0)
    assert not await keys.revoke(found.id, T0)
    assert await keys.find(secret, T0) is None
    assert [key.name for key in await keys.all()] == ["new"]


async def test_supervisor_is_shown_as_it_last_reported(database: Database) -> None:
    fleet, supervisors = SqlFleetStore(database), SqlSupervisors(database)
    assert await supervisors.all() == []
    now = datetime.now(UTC)
    await fleet.seen(1, 300, T0, now)
    await fleet.seen(0, 100, T0, T0)
    vitals = HostVitals(4_321, "slow", 8_000)
    await fleet.seen(0, 200, T0, now, vitals)
    assert await supervisors.all() == [SupervisorSeen(0, 200, T0, now, vitals), SupervisorSeen(1, 300, T0, now)]
