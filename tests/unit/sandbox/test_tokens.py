import re
import stat
from pathlib import Path

import pytest

from sandbox.snowflakes import DISCORD_EPOCH_MS, Sequence, shard_of
from sandbox.tokens import Claim, Mint, load_secret
from sandbox.world.world import World


@pytest.fixture
def mint() -> Mint:
    return Mint(b"a secret of the tests")


def test_token_has_discords_three_parts(mint: Mint) -> None:
    token = mint.issue(mint.derive_id("application", "alpha"), 0)
    assert re.fullmatch(r"[\w-]{23,28}\.[\w-]{8}\.[\w-]{36}", token)


def test_token_tells_its_application_and_serial(mint: Mint) -> None:
    assert mint.verify(mint.issue("123456789012345678", 7)) == Claim("123456789012345678", 7)


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c.d", "!.!.!", "MTIz.AAAAAAAA.AAAA", "MTIz.AA.AAAA", "YWJj.AAAAAAAA.AAAA", "é.b.c"]
)
def test_malformed_token_does_not_verify(mint: Mint, token: str) -> None:
    assert mint.verify(token) is None


def test_token_of_another_secret_does_not_verify(mint: Mint) -> None:
    assert Mint(b"another secret").verify(mint.issue("123456789012345678", 0)) is None


def test_same_name_gives_the_same_id_under_one_secret_only(mint: Mint) -> None:
    assert mint.derive_id("application", "a") == mint.derive_id("application", "a")
    assert mint.derive_id("application", "a") != mint.derive_id("application", "b")
    assert mint.derive_id("application", "a") != Mint(b"another").derive_id("application", "a")


def test_secret_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = load_secret(path)
    assert load_secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_short_secret_file_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("short")
    with pytest.raises(ValueError, match="delete it"):
        load_secret(path)


def test_restarted_world_knows_the_tokens_it_gave_out(mint: Mint) -> None:
    before = World(mint, Sequence())
    token = before.token_of(before.register("alpha"))
    after = World(mint, Sequence())
    application = after.authenticate(token)
    assert application is not None
    assert application.bot.username == f"app-{application.id}"
    assert after.register("alpha") is application
    assert application.bot.username == "alpha"


def test_reset_token_revokes_the_old_one_even_after_a_restart(mint: Mint) -> None:
    before = World(mint, Sequence())
    application = before.register("alpha")
    old = before.token_of(application)
    new = before.reset_token(application)
    assert before.authenticate(old) is None
    after = World(mint, Sequence())
    assert after.authenticate(new) is not None
    assert after.authenticate(old) is None


@pytest.mark.parametrize("name", ["", "  ", "x" * 81])
def test_world_refuses_names_no_application_can_have(mint: Mint, name: str) -> None:
    with pytest.raises(ValueError, match="1 to 80"):
        World(mint, Sequence()).register(name)


def test_ids_rise_even_when_the_clock_stands_still() -> None:
    ids = Sequence()
    now = DISCORD_EPOCH_MS / 1000 + 1
    first, second = int(ids.next(now)), int(ids.next(now))
    assert (first >> 22, second) == (1000, first + 1)


def test_shard_follows_discords_formula() -> None:
    assert shard_of((5 << 22) + 1, 4) == 1
