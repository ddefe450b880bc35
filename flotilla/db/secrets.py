"""Secrets of bots' own: stored encrypted, changed one at a time, and shown by name alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.db.engine import Database
from flotilla.db.outbox import record
from flotilla.db.tables import bot_secrets, bots
from flotilla.domain.bot_secrets import MAX_SECRETS, BotSecret, BotSecrets, Encrypted
from flotilla.domain.happenings import Happening
from flotilla.errors import ConflictError, FixInputError, NotFoundError
from flotilla.ids import new_id

_LIVE = bots.c.deleted_at.is_(None)


class SecretsChangedError(FixInputError):
    """The version that a change was meant for is not the one that is set."""

    code = "secrets_changed"

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"The secrets are at version {found}, not {expected}: somebody changed them meanwhile. "
            "Read them again, then send your change with If-Match for that version.",
            version=found,
        )


class SqlSecrets:
    """The secrets of bots. Every call raises NotFoundError (`bot_unknown`) for a bot not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, bot_id: str) -> BotSecrets:
        """Return what is shown of a bot's secrets, in the order of their names."""
        async with self._database.read() as connection:
            query = sa.select(bots.c.secrets_version).where(bots.c.id == bot_id)
            version = (await connection.execute(query)).scalar_one_or_none()
            if version is None:
                raise _no_bot()
            return BotSecrets(version, await _items(connection, bot_id))

    async def put(
        self, bot_id: str, name: str, value_encrypted: bytes, by: str, now: datetime, *, expected: int | None = None
    ) -> BotSecrets:
        """Store a secret in place of the one with its name, and return all.

        expected: the version that the change is meant for. Raises SecretsChangedError, and ConflictError
        (`secrets_too_many`) for one more than MAX_SECRETS.
        """
        values = {"value_encrypted": value_encrypted, "changed_at": now, "changed_by": by}
        async with self._database.write() as connection:
            version = await _locked(connection, bot_id, expected)
            changed = await connection.execute(bot_secrets.update().where(*_of(bot_id, name)).values(**values))
            if not changed.rowcount:
                if len(await _items(connection, bot_id)) >= MAX_SECRETS:
                    raise ConflictError(
                        f"This bot has {MAX_SECRETS} secrets, which is as many as one can have. Remove some first.",
                        code="secrets_too_many",
                    )
                await connection.execute(bot_secrets.insert().values(bot_id=bot_id, name=name, **values))
            await _tell(connection, bot_id, name, by, now, removed=False)
            return await _count_up(connection, bot_id, version)

    async def remove(
        self, bot_id: str, name: str, by: str, now: datetime, *, expected: int | None = None
    ) -> BotSecrets:
        """Forget a secret, and return those left. Raises SecretsChangedError, NotFoundError (`secret_unknown`)."""
        async with self._database.write() as connection:
            version = await _locked(connection, bot_id, expected)
            removed = await connection.execute(bot_secrets.delete().where(*_of(bot_id, name)))
            if not removed.rowcount:
                # The name is not repeated: what stands in its place may be a value.
                raise NotFoundError("This bot has no secret of that name.", code="secret_unknown")
            await _tell(connection, bot_id, name, by, now, removed=True)
            return await _count_up(connection, bot_id, version)


async def credentials(connection: AsyncConnection, bot_ids: list[str]) -> dict[str, Encrypted]:
    """Return tokens and secrets of bots as stored, by their ids, without those of bots that are gone.

    Where no bot has secrets it is one query.
    """
    query = sa.select(bots.c.id, bots.c.token_encrypted, bots.c.secrets_version).where(bots.c.id.in_(bot_ids))
    found = (await connection.execute(query)).all()
    secrets: dict[str, dict[str, bytes]] = {}
    having = [row.id for row in found if row.secrets_version]
    if having:
        table = bot_secrets
        of_them = sa.select(table.c.bot_id, table.c.name, table.c.value_encrypted).where(table.c.bot_id.in_(having))
        for row in await connection.execute(of_them):
            secrets.setdefault(row.bot_id, {})[row.name] = bytes(row.value_encrypted)
    nothing: Mapping[str, bytes] = {}
    return {row.id: Encrypted(bytes(row.token_encrypted), secrets.get(row.id, nothing)) for row in found}


def _of(bot_id: str, name: str) -> tuple[Any, Any]:
    return bot_secrets.c.bot_id == bot_id, bot_secrets.c.name == name


async def _locked(connection: AsyncConnection, bot_id: str, expected: int | None) -> int:
    query = sa.select(bots.c.secrets_version).where(bots.c.id == bot_id, _LIVE).with_for_update()
    version = (await connection.execute(query)).scalar_one_or_none()
    if version is None:
        raise _no_bot()
    if expected is not None and expected != version:
        raise SecretsChangedError(expected, version)
    return int(version)


async def _items(connection: AsyncConnection, bot_id: str) -> tuple[BotSecret, ...]:
    table = bot_secrets
    query = sa.select(table.c.name, table.c.changed_at, table.c.changed_by).where(table.c.bot_id == bot_id)
    rows = await connection.execute(query)
    # Sorted here: databases do not agree where an underscore comes.
    return tuple(sorted((BotSecret(*row) for row in rows), key=lambda secret: secret.name))


async def _count_up(connection: AsyncConnection, bot_id: str, version: int) -> BotSecrets:
    """Write down the names beside the bot as well, where the supervisor reads them with all else that is wanted."""
    items = await _items(connection, bot_id)
    values = {"secrets_version": version + 1, "secret_names": [secret.name for secret in items] or None}
    await connection.execute(bots.update().where(bots.c.id == bot_id).values(**values))
    return BotSecrets(version + 1, items)


async def _tell(connection: AsyncConnection, bot_id: str, name: str, by: str, now: datetime, *, removed: bool) -> None:
    detail = {"secret": name, "what": "removed" if removed else "set", "by": by}
    await record(connection, [Happening(new_id(now), bot_id, now, "secret_changed", detail)])


def _no_bot() -> NotFoundError:
    return NotFoundError("There is no bot with this id.", code="bot_unknown")
