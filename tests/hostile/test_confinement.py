"""What a hostile bot can do in each way of running a fleet is what docs/security.md says, no more and no less."""

import os

import pytest

from tests.hostile import modes
from tests.hostile.modes import MODES, Mode

needs_root = "only root can be root, and make others of itself"


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=[] if mode.name in {"root", "ordinary"} else pytest.mark.nightly, id=mode.name)
        for mode in MODES
    ],
)
async def test_a_hostile_bot_can_do_what_the_table_says_and_nothing_else(mode: Mode) -> None:
    version = modes.abi()
    walled = mode.environment.get("bot_landlock") != "off"
    if mode.as_root and os.geteuid() != 0:
        pytest.skip(needs_root)
    if walled and not version:
        pytest.skip("this kernel has no Landlock")
    promised = modes.promised()[mode.name]
    async with modes.fleet(mode) as fleet:
        found = await fleet.attack()
        supervisor = next(program for program in fleet.stack.programs if program.name == "supervisor")
        assert "isolation.chosen" in supervisor.text()
        assert (await fleet.stack.status(fleet.victim)).ready
    assert found.keys() == promised.keys(), "every row of the table is tried"
    judged = {name for name in promised if not walled or modes.applies(name, version)}
    assert {name: found[name] for name in judged} == {name: promised[name] for name in judged}
