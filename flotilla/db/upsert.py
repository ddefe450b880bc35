"""Insert or replace, which each database says in a dialect of its own."""

import functools
from importlib import import_module
from typing import Any

import sqlalchemy as sa


@functools.cache
def upsert(dialect: str, table: sa.Table, key: str) -> sa.Insert:
    """Return the statement that stores rows of `table`, each in place of the one with the same `key`.

    dialect: `postgresql` or `sqlite`; only the one in use is imported. Made once: that takes as long as to run it.
    """
    insert: Any = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    changed = {column.name: insert.excluded[column.name] for column in table.c if column.name != key}
    statement: sa.Insert = insert.on_conflict_do_update(index_elements=[key], set_=changed)
    return statement
