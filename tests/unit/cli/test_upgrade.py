from collections.abc import Callable
from pathlib import Path

import pytest

from flotilla.cli.upgrade import describe
from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.launch import upgrade
from flotilla.launch.upgrade import Plan, Step, carry_out, steps
from flotilla.settings import Settings

NEW, OLD = "0.1.0+new", "0.1.0+old"
SETTINGS = Settings(home=Path("/x y"))


def a_plan(**changes: object) -> Plan:
    running = {"supervisor": NEW, "api": NEW, "jobs": NEW}
    made = {"release": NEW, "running": running, "migrate": False, "ground": (), "groups": ()}
    return Plan(**{**made, **changes})  # type: ignore[arg-type] # values are any


def words(plan: Plan) -> list[str]:
    return [step.what for step in steps(SETTINGS, plan, lambda _line: None)]


def test_what_runs_this_release_already_is_left_alone() -> None:
    assert words(a_plan()) == ["See that all run this release"]
    assert "restarted" not in "\n".join(describe(a_plan(), SETTINGS, bots=False))


def test_everything_is_replaced_after_what_it_needs() -> None:
    plan = a_plan(running={"supervisor": OLD, "api": None}, migrate=True, ground=("valkey", "sandbox"))
    assert words(plan) == [
        "Bring the database to this release's shape",
        "Restart valkey",
        "Restart sandbox",
        "Restart the supervisor",
        "Restart the api",
        "Restart the jobs",
        "See that all run this release",
    ]
    shown = "\n".join(describe(plan, SETTINGS, bots=True))
    assert f"supervisor  runs {OLD}; restarted" in shown
    assert "api         runs an older release; restarted" in shown
    assert "sqlite3 '/x y/flotilla.db'" in shown


def test_a_group_that_starts_otherwise_is_restarted_as_a_whole() -> None:
    plan = a_plan(groups=("ground", "fleet"))
    assert plan.old == ["supervisor", "api", "jobs"]
    assert words(plan)[0] == "Restart what the programs stand on"


@pytest.mark.parametrize("kind", [SetupError, RetryError])
def test_a_step_that_fails_says_which_and_what_is_done(
    monkeypatch: pytest.MonkeyPatch, kind: type[FlotillaError]
) -> None:
    def refuse() -> None:
        raise kind("It is full.", code="full")

    def play(*acts: Callable[[], None]) -> None:
        monkeypatch.setattr(upgrade, "steps", lambda *_: iter([Step("Do it", act) for act in acts]))

    said: list[str] = []
    play(refuse)
    with pytest.raises(kind, match=r"Step 1 of 1 failed: It is full\. Nothing was replaced; the bots run on\."):
        carry_out(SETTINGS, a_plan(migrate=True), said.append)
    play(lambda: None, refuse)
    with pytest.raises(kind, match=r"Step 2 of 2 failed: It is full\. What came before is done and stays") as raised:
        carry_out(SETTINGS, a_plan(), said.append)
    assert raised.value.code == "full"
    assert said[-2:] == ["1/2 Do it …", "2/2 Do it …"]
