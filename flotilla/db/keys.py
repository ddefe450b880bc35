"""API keys: what is stored is a hash, so a copy of the database opens nothing."""

import enum
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import api_keys
from flotilla.ids import new_id

PREFIX = "flt_"


class Role(enum.StrEnum):
    """What a key may do; each role may do all that the one before may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. expires_at None: never."""

    id: str
    name: str
    role: Role
    expires_at: datetime | None


def key_hash(key: str) -> bytes:
    """Return what is stored of a key. A plain SHA-256 is right here: a key has 256 random bits, nothing to guess."""
    return hashlib.sha256(key.encode()).digest()


class SqlApiKeys:
    """The API's keys on SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, role: Role, expires_at: datetime | None = None) -> str:
        """Return a new key; it is shown this once and cannot be had again."""
        key = PREFIX + secrets.token_urlsafe(32)
        async with self._database.write() as connection:
            await connection.execute(
                api_keys.insert().values(
                    id=new_id(),
                    name=name,
                    role=role.value,
                    key_hash=key_hash(key),
                    created_at=datetime.now(UTC),
                    expires_at=expires_at,
                )
            )
        return key

    async def find(self, key: str, now: datetime) -> ApiKey | None:
        """Return the key's record, or None if it is unknown, revoked or expired at `now`."""
        table = api_keys
        query = sa.select(table).where(
            table.c.key_hash == key_hash(key),
            table.c.revoked_at.is_(None),
            sa.or_(table.c.expires_at.is_(None), table.c.expires_at > now),
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return ApiKey(row.id, row.name, Role(row.role), row.expires_at) if row else None

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """Make a key worthless from now on. Returns False if there is no such live key."""
        query = api_keys.update().where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
        async with self._database.write() as connection:
            return (await connection.execute(query)).rowcount > 0

    async def all(self) -> list[ApiKey]:
        """Return the keys that are not revoked, oldest first."""
        query = sa.select(api_keys).where(api_keys.c.revoked_at.is_(None)).order_by(api_keys.c.id)
        async with self._database.read() as connection:
            return [ApiKey(row.id, row.name, Role(row.role), row.expires_at) for row in await connection.execute(query)]
