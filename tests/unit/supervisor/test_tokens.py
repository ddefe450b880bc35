import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from flotilla.domain.bot_secrets import Encrypted
from flotilla.errors import NotFoundError, RetryError, SetupError
from flotilla.secrets import TokenVault, ensure_key_file
from supervisor.tokens import Credentials, Tokens
from tests.fakes.fleet import MemoryFleetStore


class Store(MemoryFleetStore):
    """Counts queries, and holds them up while the gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def credentials(self, bot_ids: Iterable[str]) -> dict[str, Encrypted]:
        asked = list(bot_ids)
        self.queries.append(asked)
        await self.gate.wait()
        self._require_there()
        return {
            bot_id: Encrypted(self.tokens[bot_id], self.secrets.get(bot_id, {}))
            for bot_id in asked
            if bot_id in self.tokens
        }


@pytest.fixture
def vault(tmp_path: Path) -> TokenVault:
    ensure_key_file(tmp_path / "key")
    return TokenVault(tmp_path / "key")


async def test_those_who_ask_during_a_query_share_the_next_one(vault: TokenVault) -> None:
    store = Store()
    store.tokens = {str(number): vault.encrypt(f"token {number}") for number in range(10)}
    tokens = Tokens(store, vault)
    store.gate.clear()
    first = asyncio.create_task(tokens.of("0"))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(tokens.of(str(number))) for number in range(10)]
    await asyncio.sleep(0.01)
    store.gate.set()
    found = [given.token for given in await asyncio.gather(first, *rest)]
    assert found == ["token 0", *(f"token {number}" for number in range(10))]
    assert [len(query) for query in store.queries] == [1, 10]


async def test_one_that_gives_up_leaves_the_token_to_the_others(vault: TokenVault) -> None:
    store = Store()
    store.tokens = {"1": vault.encrypt("token")}
    tokens = Tokens(store, vault)
    store.gate.clear()
    impatient, patient = asyncio.create_task(tokens.of("1")), asyncio.create_task(tokens.of("1"))
    await asyncio.sleep(0.01)
    impatient.cancel()
    store.gate.set()
    assert (await patient).token == "token"


async def test_each_learns_why_there_is_no_token(vault: TokenVault) -> None:
    store = Store()
    store.tokens = {"broken": b"gibberish"}
    tokens = Tokens(store, vault)
    with pytest.raises(NotFoundError):
        await tokens.of("gone")
    with pytest.raises(SetupError) as raised:
        await tokens.of("broken")
    assert raised.value.code == "token_unreadable"
    store.away = True
    with pytest.raises(RetryError):
        await tokens.of("broken")
    store.away = False
    with pytest.raises(NotFoundError):
        await tokens.of("gone")


async def test_a_token_that_is_known_is_given_while_the_database_is_away(vault: TokenVault) -> None:
    store = Store()
    store.tokens = {"1": vault.encrypt("token"), "2": vault.encrypt("other")}
    tokens = Tokens(store, vault)
    store.secrets = {"2": {"SHOP_DB": vault.encrypt("hunter2")}}
    assert await tokens.of("1") == Credentials("token", {})
    await tokens.learn(["2"])
    store.away = True
    assert [await tokens.of("1"), await tokens.of("2")] == [
        Credentials("token", {}),
        Credentials("other", {"SHOP_DB": "hunter2"}),
    ]
    assert [tokens.secrets_of("1"), tokens.secrets_of("2"), tokens.secrets_of("gone")] == [[], ["hunter2"], []]
    tokens.forget("1")
    with pytest.raises(RetryError):
        await tokens.of("1")


async def test_a_secret_that_no_key_opens_is_told_by_its_name_and_never_given_without(vault: TokenVault) -> None:
    store = Store()
    store.tokens = {"1": vault.encrypt("token")}
    store.secrets = {"1": {"FINE": vault.encrypt("hunter2"), "SHOP_DB": b"gibberish"}}
    with pytest.raises(SetupError, match="The secret SHOP_DB") as raised:
        await Tokens(store, vault).of("1")
    assert raised.value.code == "secret_unreadable"
    assert "hunter2" not in repr(Credentials("hunter2", {"A": "hunter2"}))
