from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack


@pytest.fixture(autouse=True, scope="module")
def programs_without_coverage() -> Iterator[None]:
    """Run the programs at full speed: other tests cover the same lines."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A home with a local Discord, and quick deadlines."""
    stack = await Stack.create(
        tmp_path, poll_interval_s="0.1", liveness_timeout_s="3", stop_grace_s="3", startup_timeout_s="30"
    )
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()
