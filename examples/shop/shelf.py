"""What is in the shop, in a small SQLite file that outlives the bot."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

_SCHEMA = """
CREATE TABLE IF NOT EXISTS goods (
    name TEXT PRIMARY KEY,
    price INTEGER NOT NULL CHECK (price >= 0),
    stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE TABLE IF NOT EXISTS sales (
    id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, name TEXT NOT NULL, price INTEGER NOT NULL
);
"""
BUSY_S = 5.0
"""How long a write waits for another process, such as the worker before this one."""


@dataclass(frozen=True)
class Good:
    """One of the things that are sold. price: in whole coins."""

    name: str
    price: int
    stock: int


class SoldOutError(Exception):
    """There is none left."""


class Shelf:
    """The goods in one file; opened when it is first used. Use it from one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    async def goods(self) -> list[Good]:
        """Return all goods, by name."""
        connection = await self._open()
        rows = await connection.execute_fetchall("SELECT name, price, stock FROM goods ORDER BY name LIMIT 25")
        return [Good(*row) for row in rows]

    async def put(self, name: str, price: int, count: int) -> Good:
        """Add to the stock of a good, at a new price; return how it stands."""
        statement = """
            INSERT INTO goods VALUES (?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET price = excluded.price, stock = stock + excluded.stock
            RETURNING name, price, stock
        """
        connection = await self._open()
        (row,) = await connection.execute_fetchall(statement, (name, price, count))
        return Good(*row)

    async def buy(self, name: str, user_id: int) -> Good:
        """Sell one; return how the good stands. Raises SoldOutError.

        One statement takes and checks, so that two buyers, or two processes, never get the same one.
        """
        take = "UPDATE goods SET stock = stock - 1 WHERE name = ? AND stock > 0 RETURNING name, price, stock"
        connection = await self._open()
        rows = list(await connection.execute_fetchall(take, (name,)))
        if not rows:
            raise SoldOutError(name)
        good = Good(*rows[0])
        await connection.execute(
            "INSERT INTO sales (user_id, name, price) VALUES (?, ?, ?)", (user_id, name, good.price)
        )
        return good

    async def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _open(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                opened = await aiosqlite.connect(self._path, timeout=BUSY_S, isolation_level=None)
                await opened.execute("PRAGMA journal_mode = WAL")
                await opened.executescript(_SCHEMA)
                self._connection = opened
            return self._connection
