from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stack import Stack


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
