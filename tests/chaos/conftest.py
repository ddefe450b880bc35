import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.stack import Stack


@pytest.fixture(autouse=True)
def programs_without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the programs at full speed: other tests cover the same lines, and here it is time that counts."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@contextlib.contextmanager
def locked(stack: Stack) -> Iterator[None]:
    """Hold the database as a writer that does not end: nobody else can write."""
    path = stack.settings.effective_database_url.partition("///")[2]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
