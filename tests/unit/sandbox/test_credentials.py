import pytest

from sandbox import limits
from sandbox.rest.credentials import Credentials
from sandbox.snowflakes import Sequence
from sandbox.tokens import Mint
from sandbox.world.world import World


@pytest.fixture
def world() -> World:
    return World(Mint(b"a secret of the tests"), Sequence())


@pytest.fixture
def credentials(world: World) -> Credentials:
    return Credentials(world)


def test_bot_token_is_found_again_without_a_new_check(world: World, credentials: Credentials) -> None:
    application = world.register("alpha")
    header = f"Bot {world.token_of(application)}"
    assert credentials.application_of(header) is application
    assert credentials.application_of(header) is application
    assert len(credentials._verified) == 1


def test_reset_ends_a_remembered_token(world: World, credentials: Credentials) -> None:
    application = world.register("alpha")
    old = f"Bot {world.token_of(application)}"
    assert credentials.application_of(old) is application
    new = f"Bot {world.reset_token(application)}"
    assert credentials.application_of(old) is None
    assert credentials.application_of(new) is application


@pytest.mark.parametrize("prefix", ["", "bot ", "Bearer "])
def test_bot_token_needs_its_scheme(world: World, credentials: Credentials, prefix: str) -> None:
    assert credentials.application_of(prefix + world.token_of(world.register("alpha"))) is None


def test_remembered_tokens_are_bounded(world: World, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS_KEPT", 2)
    for name in ("a", "b", "c"):
        assert credentials.application_of(f"Bot {world.token_of(world.register(name))}") is not None
    assert len(credentials._verified) <= 2


def test_bad_token_tells_whose_it_claims_to_be(world: World, credentials: Credentials) -> None:
    application = world.register("alpha")
    token = world.token_of(application)
    assert credentials.claimed(f"Bot {token[:-4]}AAAA") == application.id
    for nothing in ("", "Bot nonsense", "Bot \xff", "Bot MTIz.x.y"):
        assert credentials.claimed(nothing) is None
