#!/usr/bin/env bash
# Packages: sqlalchemy 2.1.9 with aiosqlite 0.22.1, Python 3.11 or newer.
#
# Guess: `async with asyncio.timeout(0.2): await connection.execute(...)` gives up after 0.2 s. The query may go on in
# aiosqlite's thread, but the caller is told at once, as with aiosqlite alone.
#
# What happens: with aiosqlite alone the caller is told after 0.2 s. With SQLAlchemy over it the TimeoutError comes when
# the query has ended: the cancelled call throws the connection away, its closing is queued behind the query in the same
# thread, and the closing is waited for. The longer the query, the later the deadline. Its result is thrown away too.
# The deadline is kept by asking SQLite to stop: `interrupt()` of the driver's connection ends the query at once, and
# the connection stays usable.
#
# Output seen (a query of about 2.5 s, a limit of 0.2 s):
#   sqlalchemy 2.1.9, aiosqlite 0.22.1
#   aiosqlite alone:         TimeoutError after 0.2 s
#   sqlalchemy, timeout:     TimeoutError after 2.4 s
#   sqlalchemy, interrupt(): OperationalError after 0.2 s, then the same connection answers 1
#
# Why it matters: an interaction must be answered in 3 s. A bot that gives its database one second and has an apology
# ready sends it after the query, to a token that is void; a stop with a grace period overruns it and is killed.
#
# Do instead: see `within` below: a task beside the query that interrupts it at the deadline.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    'sqlalchemy[asyncio]==2.1.9' aiosqlite==0.22.1

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata
import sqlite3
import sys
import time

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

LIMIT_S = 0.2
QUERY_S = 2.5


def count(rows: int) -> str:
    return f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows}) SELECT count(*) FROM n"


def rows_for(seconds: float) -> int:
    began = time.monotonic()
    sqlite3.connect(":memory:").execute(count(300_000)).fetchone()
    return int(300_000 * seconds / (time.monotonic() - began))


async def within(connection: AsyncConnection, statement: sa.TextClause, limit_s: float) -> object:
    driver = (await connection.get_raw_connection()).driver_connection

    async def stop() -> None:
        await asyncio.sleep(limit_s)
        await driver.interrupt()

    guard = asyncio.create_task(stop())
    try:
        return await connection.execute(statement)
    finally:
        guard.cancel()


async def told(call) -> tuple[str, float]:
    began = time.monotonic()
    try:
        await call
        name = "no error"
    except Exception as error:
        name = type(error).__name__
    return name, time.monotonic() - began


async def limited(call) -> None:
    async with asyncio.timeout(LIMIT_S):
        await call


async def main() -> None:
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("sqlalchemy", "aiosqlite")))
    slow = count(rows_for(QUERY_S))
    connection = await aiosqlite.connect(":memory:")
    alone = await told(limited(connection.execute(slow)))
    await connection.interrupt()
    await connection.close()
    print("aiosqlite alone:         {} after {:.1f} s".format(*alone))

    engine = create_async_engine(f"sqlite+aiosqlite:///{sys.argv[1]}")
    async with engine.connect() as connection:
        over = await told(limited(connection.execute(sa.text(slow))))
    print("sqlalchemy, timeout:     {} after {:.1f} s".format(*over))
    async with engine.connect() as connection:
        kept = await told(within(connection, sa.text(slow), LIMIT_S))
        await connection.rollback()
        answer = await connection.scalar(sa.text("SELECT 1"))
    print("sqlalchemy, interrupt(): {} after {:.1f} s, then the same connection answers {}".format(*kept, answer))
    await engine.dispose()
    held = (
        alone[0] == "TimeoutError"
        and alone[1] < 1
        and over[0] == "TimeoutError"
        and over[1] > 1.2
        and kept[0] == "OperationalError"
        and kept[1] < 1
        and answer == 1
    )
    if not held:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder/bots.db"
