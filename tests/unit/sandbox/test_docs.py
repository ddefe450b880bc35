"""docs/sandbox.md names every control call and every fault."""

import re
from pathlib import Path

import pytest

from sandbox.control import acts, applications, consents, faults, gateway, limits, load, world
from sandbox.faults import kinds

DOC = Path(__file__).parents[3] / "docs" / "sandbox.md"
MODULES = (acts, applications, consents, faults, gateway, limits, load, world)
PATHS = sorted({route.path.removeprefix("/sandbox/") for module in MODULES for route in module.ROUTES})


def shapes(text: str) -> set[str]:
    """Return the paths that a page names, with `{}` for each id, short for `$A` and `…` written out."""
    named = re.findall(r"(?:\$S|\$A|…|/sandbox)(?:/[\w@.-]+)*", text)
    return {path.rpartition("/")[2] for path in named}


@pytest.mark.parametrize("path", PATHS)
def test_every_control_call_is_named(path: str) -> None:
    last = next(segment for segment in reversed(path.split("/")) if not segment.startswith("{"))
    assert last in shapes(DOC.read_text()), path


def test_every_fault_is_named() -> None:
    text = DOC.read_text()
    missing = [kind for kind in kinds.KINDS if f"`{kind}`" not in text]
    assert missing == []
