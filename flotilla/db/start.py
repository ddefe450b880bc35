"""How a program begins with its database: what is final then, and what is not."""

from flotilla.db.engine import Database
from flotilla.db.schema import require_current
from flotilla.errors import RetryError, SetupError
from flotilla.launch.mode import is_known
from flotilla.settings import Settings


async def begin_with(database: Database, settings: Settings, program: str) -> None:
    """Make sure that `program` can work with its database, and from now on note for others when it cannot.

    Raises SetupError when somebody must mend something first. A refusal is none of that if `flotilla up` has met this
    database with this home before: the program was ended in the midst of an outage, and is started again until it is
    over; then RetryError.
    """
    database.availability.report(program, settings)
    try:
        await require_current(database)
    except SetupError as fault:
        if fault.code == "database_refused" and is_known(settings, database):
            raise RetryError(fault.message, code="database_unavailable") from fault
        raise
