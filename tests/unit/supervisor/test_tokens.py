import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from flotilla.errors import NotFoundError, RetryError, SetupError
from flotilla.secrets import TokenVault, ensure_key_file
from supervisor.tokens import Tokens
from tests.fakes.fleet import MemoryFleetStore


class Store(MemoryFleetStore):
    """Counts queries, and holds them up while the gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def encrypted_tokens(self, bot_ids: Iterable[str]) -> dict[str, bytes]:
        self.queries.append(list(bot_ids))
        await self.gate.wait()
        self._require_there()
        return {bot_id: self.tokens[bot_id] for bot_id in bot_ids if bot_id in self.tokens}


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
    assert await asyncio.gather(first, *rest) == ["token 0", *(f"token {number}" for number in range(10))]
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
    assert await patient == "token"


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
    assert await tokens.of("1") == "token"
    await tokens.learn(["2"])
    store.away = True
    assert [await tokens.of("1"), await tokens.of("2")] == ["token", "other"]
    tokens.forget("1")
    with pytest.raises(RetryError):
        await tokens.of("1")
