"""Keyset pages: stable under inserts and deletes, equally fast on the first page and the last."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlakeyset import InvalidPage, serialize_bookmark, unserialize_bookmark
from sqlakeyset.asyncio import select_page
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from flotilla.errors import FixInputError

Item = TypeVar("Item")
MAX_CURSOR_CHARS = 512


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, and the cursor that fetches the next ones; None when there are no more."""

    items: Sequence[Item]
    next_cursor: str | None


async def select_keyset_page(
    connection: AsyncConnection, query: sa.Select[Any], limit: int, cursor: str | None
) -> Page[sa.Row[Any]]:
    """Return up to `limit` rows of `query` after `cursor`.

    The query is ordered by text columns, none of them null, the last one unique.

    Raises FixInputError (`cursor_invalid`) for a cursor that this query did not give.
    """
    if cursor is not None:
        _require_place(cursor)
    try:
        async with AsyncSession(connection) as session:
            page = await select_page(session, query, per_page=limit, page=cursor)
    except (InvalidPage, ArgumentError) as fault:
        raise _invalid() from fault
    return Page(list(page), page.paging.bookmark_next if page.paging.has_next else None)


def _require_place(cursor: str) -> None:
    """Raise FixInputError unless `cursor` is a place among text values as we write it.

    sqlakeyset reads numbers, dates and bytes too, and any text; the database would stumble over them, or compare
    what cannot be compared.
    """
    if not cursor.startswith(">") or len(cursor) > MAX_CURSOR_CHARS:
        raise _invalid()
    try:
        place = unserialize_bookmark(cursor)
        # ArithmeticError: a decimal beyond all bounds.
    except (ValueError, ArithmeticError) as fault:
        raise _invalid() from fault
    values = place.place or ()
    sane = values and all(isinstance(value, str) and value.isprintable() for value in values)
    if not sane or serialize_bookmark(place) != cursor:
        raise _invalid()


def _invalid() -> FixInputError:
    return FixInputError(
        "This cursor is not from this list. Pass next_cursor of the page before, unchanged, or leave it out.",
        code="cursor_invalid",
    )
