"""Who may run the bots of a database, decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flotilla.domain.claims import REBOOTED_AFTER, Claim, Claimant, Standing, is_lost, lives, refusal, standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINE = Claimant("installation", "boot", "7", "/home/a", "host-a", 10)
COPY = replace(MINE, place="8", home="/home/copy")
REBOOTED = replace(MINE, boot_id="another boot")
STRANGER = Claimant("stranger", "other boot", "7", "/home/b", "host-b", 20)


def claim(holder: Claimant, *, silent: timedelta = timedelta(), released: bool = False, epoch: int = 3) -> Claim:
    return Claim(holder, epoch, 5, NOW, NOW, NOW + silent, released)


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (None, Standing.FREE),
        (claim(MINE), Standing.FREE),
        (claim(replace(MINE, pid=99)), Standing.FREE),
        (claim(STRANGER, released=True), Standing.FREE),
        (claim(REBOOTED, silent=REBOOTED_AFTER), Standing.FREE),
        (claim(REBOOTED), Standing.UNCLEAR),
        (claim(REBOOTED, silent=-timedelta(hours=1)), Standing.UNCLEAR),
        (claim(COPY), Standing.UNCLEAR),
        (claim(STRANGER), Standing.UNCLEAR),
        # However long ago by a clock, which may have jumped: that it does not live must be seen.
        (claim(STRANGER, silent=timedelta(days=40)), Standing.UNCLEAR),
    ],
)
def test_a_claim_is_free_only_if_its_holder_is_certain_not_to_run(held: Claim | None, found: Standing) -> None:
    assert standing(MINE, held) is found


def test_a_claim_that_beats_lives_whatever_the_clocks_say() -> None:
    seen = claim(STRANGER)
    assert not lives(seen, replace(seen, read_at=NOW + timedelta(days=40)))
    assert lives(seen, replace(seen, beats=6))
    assert lives(seen, replace(seen, epoch=4))


def test_only_a_newer_claim_of_somebody_else_ousts() -> None:
    assert is_lost(MINE, 3, claim(STRANGER, epoch=4))
    assert not is_lost(MINE, 3, claim(STRANGER, epoch=2)), "a backup was restored"
    assert not is_lost(MINE, 3, claim(replace(MINE, pid=11), epoch=4))
    assert not is_lost(MINE, 3, None)


def test_the_sentence_names_who_runs_them_and_what_to_do() -> None:
    told = refusal(MINE, claim(STRANGER))
    assert all(part in told for part in ("/home/b on host-b", "process 20", "--take-over", "flotilla down"))
    assert "copy of this installation" in refusal(MINE, claim(COPY))
