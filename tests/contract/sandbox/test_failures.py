"""An error of the sandbox itself: answered as Discord answers one, kept for a test to see."""

import logging
import time

import aiohttp
import pytest

from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint


async def test_error_of_the_sandbox_is_a_500_that_is_kept_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    discord = LocalDiscord(Mint(b"a secret of the tests"), time.time, Rules())
    application = discord.world.register("alpha")
    del discord.world.guilds[application.home_guild_id]  # the world no longer fits together
    headers = {"Authorization": f"Bot {discord.world.token_of(application)}"}
    path = f"/channels/{application.home_channel_id}"
    async with serve(discord, "127.0.0.1", 0) as url, aiohttp.ClientSession(url, headers=headers) as http:
        with caplog.at_level(logging.ERROR):
            async with http.get(f"/api/v10{path}") as response:
                assert response.status == 500
                assert await response.json() == {"message": "500: Internal Server Error", "code": 0}
        control = {"Authorization": f"Bearer {discord.control_key}"}
        async with http.get("/sandbox/errors", headers=control) as response:
            kept = await response.json()
    assert (kept["total"], kept["items"][0]["where"]) == (1, f"GET /api/v10{path}")
    assert kept["items"][0]["error"].startswith("KeyError")
    assert "Traceback" in kept["items"][0]["stack"]
    assert any(record.exc_info for record in caplog.records)


async def test_error_of_the_sandbox_closes_a_gateway_connection_with_4000() -> None:
    discord = LocalDiscord(Mint(b"a secret of the tests"), time.time, Rules())
    application = discord.world.register("alpha")
    del discord.world.guilds[application.home_guild_id].members[application.id]
    identify = {"token": discord.world.token_of(application), "intents": 1, "properties": {}}
    async with serve(discord, "127.0.0.1", 0) as url, aiohttp.ClientSession(url) as http:
        async with http.ws_connect("/gateway?v=10") as websocket:
            await websocket.receive(timeout=5)
            await websocket.send_json({"op": 2, "d": identify})
            while not websocket.closed:
                await websocket.receive(timeout=5)
        assert websocket.close_code == 4000
    assert discord.failures.total == 1
