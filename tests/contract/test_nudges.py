"""Nudges: one suite for Valkey and for the one within a process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flotilla.errors import SetupError
from flotilla.nudges import MemoryNudges, ValkeyNudges
from flotilla.ports import Nudges
from flotilla.valkey import connection_pool
from tests.services import Valkey, running_valkey

PATIENCE_S = 20.0


@pytest.fixture(params=["memory", "valkey"])
async def nudges(request: pytest.FixtureRequest) -> AsyncIterator[Nudges]:
    if request.param == "memory":
        yield MemoryNudges()
        return
    server: Valkey = request.getfixturevalue("valkey")
    real = ValkeyNudges(server.url)
    yield real
    await real.close()


async def heard(taps: AsyncIterator[None]) -> None:
    await asyncio.wait_for(anext(taps), PATIENCE_S)


async def tap_until_heard(nudges: Nudges, taps: AsyncIterator[None]) -> None:
    """Tap often, as a lost tap is allowed, and return when one was heard."""
    listener = asyncio.ensure_future(heard(taps))
    while not listener.done():
        await nudges.send()
        await asyncio.wait([listener], timeout=0.05)
    await listener


async def test_tap_is_heard(nudges: Nudges) -> None:
    async with nudges.listen() as taps:
        await tap_until_heard(nudges, taps)


async def test_taps_are_heard_again_and_again(nudges: Nudges) -> None:
    async with nudges.listen() as taps:
        for _ in range(3):
            await tap_until_heard(nudges, taps)


async def test_silence_is_silence(nudges: Nudges) -> None:
    async with nudges.listen() as taps:
        await tap_until_heard(nudges, taps)
        # Taps that were on their way may still come; then there are none.
        silent = False
        while not silent:
            listener = asyncio.ensure_future(heard(taps))
            done, _ = await asyncio.wait([listener], timeout=0.3)
            silent = not done
        listener.cancel()


async def test_sending_without_a_listener_is_nothing(nudges: Nudges) -> None:
    await nudges.send()


async def test_sending_while_valkey_is_away_never_raises(tmp_path: Path) -> None:
    nudges = ValkeyNudges(f"unix://{tmp_path}/nobody.sock")
    await nudges.send()
    await nudges.close()


async def test_listener_hears_again_after_valkey_came_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flotilla.nudges.RETRY_S", 0.05)
    with running_valkey(tmp_path / "v.sock") as server:
        nudges = ValkeyNudges(server.url)
        async with nudges.listen() as taps:
            await tap_until_heard(nudges, taps)
            server.kill()
            server.start()
            await tap_until_heard(nudges, taps)
        await nudges.close()


@pytest.mark.parametrize("url", ["", "nothing", "http://host", "redis://:s3cret@host:notaport"])
def test_url_that_is_none_of_ours_is_a_setup_error_without_its_password(url: str) -> None:
    with pytest.raises(SetupError) as raised:
        connection_pool(url)
    assert raised.value.code == "redis_url_invalid"
    assert "s3cret" not in raised.value.message
