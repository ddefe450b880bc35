from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ulid import ULID

from tests.services import running_postgres
from tests.stack import Stack

BOTH = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.nightly])]


@pytest.fixture(autouse=True, scope="module")
def programs_without_coverage() -> Iterator[None]:
    """Run the programs at full speed: other tests cover the same lines."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture(params=BOTH)
async def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stack]:
    """A home with a local Discord, on either database."""
    settings = {"poll_interval_s": "0.1", "liveness_timeout_s": "60"}
    with ExitStack() as services:
        if request.param == "postgresql":
            settings["database_url"] = services.enter_context(running_postgres(f"hostile-{ULID()}")).url()
        stack = await Stack.create(tmp_path, **settings)
        try:
            await stack.start_sandbox()
            yield stack
        finally:
            await stack.close()
