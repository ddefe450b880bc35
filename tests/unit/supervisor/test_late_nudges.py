import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from flotilla.errors import SetupError
from flotilla.nudges import ValkeyNudges
from flotilla.settings import Settings
from supervisor.late_nudges import LateNudges
from tests.services import Valkey


async def test_nudges_are_heard_once_it_listens(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.run_dir.mkdir()
    valkey = Valkey(settings.valkey_socket)
    valkey.start()
    sender = ValkeyNudges(settings.effective_redis_url)
    heard = asyncio.Event()

    async def listen() -> None:
        async with LateNudges(settings, after_s=0.01).listen() as taps:
            async for _ in taps:
                heard.set()

    listening = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(20):
            while not heard.is_set():
                await sender.send()
                await asyncio.sleep(0.05)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await sender.close()
        valkey.kill()


def test_url_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as raised:
        LateNudges(Settings(home=tmp_path, redis_url=SecretStr("mysql://secret@host")))
    assert raised.value.code == "redis_url_invalid"
