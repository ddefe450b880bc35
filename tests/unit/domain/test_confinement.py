import pytest

from flotilla.domain.confinement import Confinement

HERE = "they need root"
OWN = "a user of its own for each bot"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Confinement(users=True, landlock_abi=7),
            f"{OWN}; Landlock ABI 7 (files, other programs' memory, TCP ports, signals)",
        ),
        (
            Confinement(users=False, landlock_abi=3, no_users=HERE),
            "no users of their own (they need root); Landlock ABI 3 (files, other programs' memory)",
        ),
        (
            Confinement(users=False, landlock_abi=0, no_users=HERE, no_landlock="this kernel has none"),
            "no users of their own (they need root); no Landlock (this kernel has none)",
        ),
        (
            Confinement(users=True, landlock_abi=0, no_landlock="off", code_closed="/a"),
            f"{OWN}; no Landlock (off); /a is closed to other users: what bots import late fails",
        ),
    ],
)
def test_what_is_in_force_is_one_line_with_the_reason_for_what_is_not(found: Confinement, said: str) -> None:
    assert found.text == said


def test_the_right_to_pass_closed_folders_is_kept_within_walls_alone_and_said() -> None:
    walled = Confinement(users=True, landlock_abi=6, code_closed="/root")
    assert walled.searches
    assert "the right to pass /root" in walled.text
    assert not Confinement(users=True, landlock_abi=0, code_closed="/root").searches
    assert not Confinement(users=False, landlock_abi=6, code_closed="/root").searches


@pytest.mark.parametrize(
    ("users", "abi", "word"),
    [(True, 0, ""), (False, 6, "sockets"), (False, 5, "signal"), (False, 3, "ports"), (False, 0, "secrets.key")],
)
def test_a_weakness_is_named_with_its_remedy(users: bool, abi: int, word: str) -> None:
    found = Confinement(users, abi)
    assert bool(found.weakness) == bool(found.remedy) == (not found.is_full) == bool(word)
    assert word in found.weakness
