import pytest


@pytest.fixture(autouse=True)
def programs_without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the programs at full speed: other tests cover the same lines, and here it is time that counts."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
