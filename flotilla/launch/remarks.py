"""What `flotilla up` says before it starts: nothing of it stands in the way, and all of it an operator should know."""

import asyncio

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import bots
from flotilla.errors import FlotillaError, SetupError
from flotilla.launch import probes
from flotilla.settings import Settings


def remarks(settings: Settings) -> list[str]:
    """Return a sentence for each thing that this host lacks and Flotilla works around."""
    found = []
    handles = probes.process_handles()
    if handles.startswith(probes.REFUSED):
        found.append(f"Note: {handles}")
    try:
        probes.open_files(asyncio.run(_bots(settings)))
    except SetupError as fault:
        found.append(f"Note: {fault.message} Bots that find no room wait until there is some.")
    except FlotillaError:
        pass  # the start itself says what is wrong with the database
    return found


async def _bots(settings: Settings) -> int:
    database = Database(settings.effective_database_url)
    try:
        async with database.read() as connection:
            return int((await connection.execute(sa.select(sa.func.count()).select_from(bots))).scalar_one())
    finally:
        await database.close()
