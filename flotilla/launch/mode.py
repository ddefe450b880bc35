"""A home is either a demo's or real. Real tokens never reach a sandbox, demo tokens never reach Discord."""

import os
from pathlib import Path

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import bot_tags, bots
from flotilla.errors import SetupError
from flotilla.launch.layout import Mode
from flotilla.settings import Settings

DEMO_TAG = "demo"
_OTHER = {Mode.DEMO: Mode.REAL, Mode.REAL: Mode.DEMO}
_COMMAND = {Mode.DEMO: "make demo", Mode.REAL: "make up"}


def marker_file(settings: Settings) -> Path:
    """Where a home says which mode it has, and with which database."""
    return settings.home / "mode"


def read_mode(settings: Settings) -> Mode | None:
    """Return the mode this home was started in, or None if it never was."""
    lines = _marker(settings)
    return Mode(lines[0]) if lines and lines[0] in set(Mode) else None


def is_known(settings: Settings, database: Database) -> bool:
    """Return whether this home was started with this database before."""
    return _marker(settings)[1:] == [_name(settings, database)]


def require_mode(settings: Settings, mode: Mode) -> None:
    """Raise SetupError (`mode_mismatch`) if this home belongs to the other mode."""
    if read_mode(settings) is _OTHER[mode]:
        raise SetupError(
            f"{settings.home} holds a {_OTHER[mode]} fleet; `{_COMMAND[_OTHER[mode]]}` runs it. Tokens of the one must "
            f"not reach the other. Choose another folder: FLOTILLA_HOME={settings.home}-{mode} {_COMMAND[mode]}",
            code="mode_mismatch",
        )


async def claim_mode(settings: Settings, mode: Mode, database: Database) -> None:
    """Make `mode` this home's own, with this database.

    Raises SetupError: `mode_mismatch`, or `database_of_other_mode` if a database that is new to this home holds bots
    which must not meet the Discord of this mode.
    """
    require_mode(settings, mode)
    wanted = [mode.value, _name(settings, database)]
    if _marker(settings) == wanted:
        return
    demo_bots, others = await _count_bots(database)
    if mode is Mode.DEMO and demo_bots + others:
        raise SetupError(
            f"The database holds {demo_bots + others} bots already; a demo would send their tokens to the sandbox. "
            "Unset FLOTILLA_DATABASE_URL, or name an empty database.",
            code="database_of_other_mode",
        )
    if mode is Mode.REAL and demo_bots:
        raise SetupError(
            f"The database holds {demo_bots} bots with the tag {DEMO_TAG!r}, made by a demo; their tokens are worth "
            "nothing to Discord. Name another database with FLOTILLA_DATABASE_URL, or remove those bots.",
            code="database_of_other_mode",
        )
    partial = marker_file(settings).with_suffix(f".{os.getpid()}")
    partial.write_text("\n".join(wanted) + "\n")
    partial.replace(marker_file(settings))


def _marker(settings: Settings) -> list[str]:
    try:
        # A damaged one says nothing; what the database holds is looked at before it is written anew.
        return marker_file(settings).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _name(settings: Settings, database: Database) -> str:
    # The default database lies in the home and moves with it.
    return database.url.render_as_string(hide_password=True) if settings.database_url else "default"


async def _count_bots(database: Database) -> tuple[int, int]:
    """Return how many bots carry the demo's tag, and how many do not."""
    tagged = sa.exists().where(bot_tags.c.bot_id == bots.c.id, bot_tags.c.tag == DEMO_TAG)
    query = sa.select(sa.func.count().filter(tagged), sa.func.count().filter(sa.not_(tagged))).select_from(bots)
    async with database.read() as connection:
        row = (await connection.execute(query)).one()
    return int(row[0]), int(row[1])
