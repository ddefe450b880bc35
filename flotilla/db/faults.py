"""Whose fault an error of the database is: the row's, nobody's for long, or the settings'. One table for both.

Whatever the table does not name is *away*: a retry that is in vain costs a log line, a program that ends over a
database that comes back a minute later costs the fleet.
"""

import enum
import sqlite3
import ssl
from dataclasses import dataclass

from sqlalchemy import exc


class Blame(enum.Enum):
    """What the caller can do about it."""

    ROW = "row"  # what was to be stored can never be stored: set it aside
    AWAY = "away"  # nothing but wait and try again
    REFUSED = "refused"  # at a start somebody must mend it first; while a program runs it is away like the rest


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose fault it is, and one sentence that says what to do, without secrets."""

    blame: Blame
    sentence: str


_NO_ANSWER = "The database does not answer. Check that it runs and that FLOTILLA_DATABASE_URL is right."
_ROW = Verdict(Blame.ROW, "The database cannot store this.")
_DAMAGED = (
    "Stop Flotilla, keep a copy of the file with its -wal and -shm, then put a backup in its place, or what "
    "`sqlite3 OLD .recover | sqlite3 NEW` saves."
)

# By SQLSTATE, the longest match first. Source: PostgreSQL documentation, appendix A, Error Codes.
_POSTGRESQL: dict[str, Verdict] = {
    "21": _ROW,
    "22": _ROW,
    "23": _ROW,
    "44": _ROW,
    "54": _ROW,  # too long for an index, too many columns: of the statement and its values, not of the server
    "28": Verdict(Blame.REFUSED, "PostgreSQL refuses this user or password. Check FLOTILLA_DATABASE_URL."),
    "3D": Verdict(
        Blame.REFUSED,
        "PostgreSQL has no database of this name; was it renamed for a restore? Check FLOTILLA_DATABASE_URL.",
    ),
    "42501": Verdict(
        Blame.REFUSED, "PostgreSQL does not allow this user what Flotilla does. Make it the owner of its database."
    ),
    "25006": Verdict(
        Blame.AWAY,
        "The database takes no writes: it is read-only, or a standby after a failover. Flotilla waits; should it stay "
        "so, name the primary in FLOTILLA_DATABASE_URL.",
    ),
    "42": Verdict(
        Blame.AWAY,
        "The database lacks what this release expects of it; is it being restored? Flotilla waits; should it stay so, "
        "run: flotilla db upgrade",
    ),
    "3F": Verdict(Blame.AWAY, "The database lacks the schema of its tables; is it being restored? Flotilla waits."),
    "53100": Verdict(Blame.AWAY, "The disk of the database is full. Free some of it."),
    "53200": Verdict(Blame.AWAY, "The database has too little memory."),
    "53300": Verdict(
        Blame.AWAY,
        "The database has no connection left to give. Raise max_connections, or close what others hold open.",
    ),
    "55": Verdict(Blame.AWAY, "The database takes no connections, or holds a lock, for now. Flotilla waits."),
    "57014": Verdict(Blame.AWAY, "The database cancelled a statement that took too long. Look at its load."),
    "57P": Verdict(Blame.AWAY, "The database is shutting down or starting up. Flotilla waits."),
    "58": Verdict(Blame.AWAY, "The database cannot use its disk. Look at its log."),
    "XX": Verdict(Blame.AWAY, "The database has a fault of its own, or damaged data. Look at its log."),
}

# By primary result code. Source: SQLite documentation, Result and Error Codes.
_SQLITE: dict[int, Verdict] = {
    sqlite3.SQLITE_CONSTRAINT: _ROW,
    sqlite3.SQLITE_TOOBIG: _ROW,
    sqlite3.SQLITE_MISMATCH: _ROW,
    sqlite3.SQLITE_RANGE: _ROW,
    sqlite3.SQLITE_NOTADB: Verdict(Blame.REFUSED, f"The database file is no database any more. {_DAMAGED}"),
    sqlite3.SQLITE_CORRUPT: Verdict(Blame.REFUSED, f"The database file is damaged. {_DAMAGED}"),
    sqlite3.SQLITE_READONLY: Verdict(
        Blame.REFUSED, "The database file cannot be written to. Mend its permissions, and those of its folder."
    ),
    sqlite3.SQLITE_PERM: Verdict(Blame.REFUSED, "The database file is not ours. Mend its permissions."),
    sqlite3.SQLITE_BUSY: Verdict(Blame.AWAY, "Another program holds the database. Flotilla waits for it."),
    sqlite3.SQLITE_LOCKED: Verdict(Blame.AWAY, "Another program holds the database. Flotilla waits for it."),
    sqlite3.SQLITE_FULL: Verdict(Blame.AWAY, "The disk of the database is full. Free some of it."),
    sqlite3.SQLITE_IOERR: Verdict(Blame.AWAY, "The disk of the database fails or is full. Look at the system's log."),
    sqlite3.SQLITE_CANTOPEN: Verdict(
        Blame.AWAY,
        "The database file cannot be opened: it or its folder is gone, or not ours. Put it back where "
        "FLOTILLA_DATABASE_URL says; a backup will do.",
    ),
}


def judge(error: BaseException | None) -> Verdict | None:
    """Return whose fault `error` is; None if the database has nothing to do with it."""
    if isinstance(error, exc.DBAPIError):
        return _of_driver(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Verdict(
            Blame.REFUSED,
            "The certificate of the database is not trusted. Check sslmode and sslrootcert in FLOTILLA_DATABASE_URL.",
        )
    if isinstance(error, ConnectionError) and "SSL" in str(error):
        return Verdict(
            Blame.REFUSED, "The database speaks no TLS, which sslmode in FLOTILLA_DATABASE_URL asks for. Check both."
        )
    # OSError: no such host or socket, refused, reset, timed out. PendingRollbackError: the connection was lost before.
    if isinstance(error, exc.TimeoutError | exc.PendingRollbackError | OSError):
        return Verdict(Blame.AWAY, _NO_ANSWER)
    return None


def _of_driver(error: exc.DBAPIError) -> Verdict:
    origin = error.orig
    state = str(getattr(origin, "sqlstate", None) or "")
    for length in (5, 3, 2):
        if len(state) >= length and state[:length] in _POSTGRESQL:
            return _POSTGRESQL[state[:length]]
    if isinstance(origin, sqlite3.Error):
        return _of_sqlite(origin)
    # asyncpg's own, raised before anything is sent. DataError: a value that does not fit its column's type;
    # ClientConfigurationError: parameters of the connection that contradict one another. Both are ValueErrors.
    cause = getattr(origin, "__cause__", None)
    kinds = {kind.__name__ for kind in (*type(origin).__mro__, *type(cause).__mro__)}
    if "DataError" in kinds:
        return _ROW
    if "ClientConfigurationError" in kinds:
        return Verdict(
            Blame.REFUSED,
            "The parameters in FLOTILLA_DATABASE_URL cannot be used together: check its sslmode and files.",
        )
    return Verdict(Blame.AWAY, _NO_ANSWER)


def _of_sqlite(error: sqlite3.Error) -> Verdict:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _SQLITE:
        return _SQLITE[code & 0xFF]
    if "no such table" in str(error) or "no such column" in str(error):
        return _POSTGRESQL["42"]
    if code is None and "binding" in str(error):
        return _ROW
    return Verdict(Blame.AWAY, _NO_ANSWER)
