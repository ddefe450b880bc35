"""A database without anything in it, in a home that has run bots: it is more likely lost than wanted."""

from flotilla.db.engine import Database
from flotilla.db.schema import is_empty
from flotilla.errors import SetupError
from flotilla.launch.mode import read_mode
from flotilla.settings import Settings


async def require_known_database(settings: Settings, database: Database) -> None:
    """Raise SetupError (`database_lost`) if `database` holds no table at all and bots have run in this home before."""
    if read_mode(settings) is None or not _has_run_bots(settings) or not await is_empty(database):
        return
    where = "FLOTILLA_DATABASE_URL" if settings.database_url else str(settings.home / "flotilla.db")
    raise SetupError(
        f"Bots have run in {settings.home}, but its database ({where}) is empty: their tokens and settings are not "
        "there. Restore a backup, or name the right database with FLOTILLA_DATABASE_URL. To begin anew without them: "
        "flotilla up --new-database",
        code="database_lost",
    )


def _has_run_bots(settings: Settings) -> bool:
    try:
        return any((settings.log_dir / "bots").iterdir())
    except FileNotFoundError:
        return False
