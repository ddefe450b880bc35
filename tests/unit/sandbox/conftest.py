import json
from typing import Any

import pytest

from sandbox.gateway.connection import Close, Connection, Effect, GuildCount, Send, nobody_counts
from sandbox.gateway.hooks import Hooks
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.tokens import Mint
from sandbox.world.applications import Application
from sandbox.world.guilds import Channel, Guild

START = 1_800_000_000.0


class FakeClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class FakeSocket:
    """A connection with the effects it ordered, in place of a websocket."""

    def __init__(
        self,
        discord: LocalDiscord,
        *,
        version: str = "10",
        encoding: str = "json",
        compress: str = "",
        hooks: Hooks | None = None,
        guild_count: GuildCount = nobody_counts,
    ) -> None:
        self.effects: list[Effect] = []
        self._discord = discord
        self.connection = Connection(discord, "ws://sandbox/gateway", self.effects.append, hooks, guild_count)
        self.connection.open(version, encoding, compress, discord.clock())

    def send(self, op: Any, d: Any = None) -> None:
        self.connection.receive(json.dumps({"op": op, "d": d}).encode(), self._discord.clock())

    def identify(self, token: str, intents: int = 1, **more: Any) -> None:
        self.send(2, {"token": token, "intents": intents, "properties": {}, **more})

    def resume(self, token: str, session_id: str, seq: int) -> None:
        self.send(6, {"token": token, "session_id": session_id, "seq": seq})

    def hang_up(self, code: int | None) -> None:
        self.connection.closed(code, self._discord.clock())

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(effect.frame) for effect in self.effects if isinstance(effect, Send)]

    @property
    def events(self) -> list[str]:
        return [payload["t"] for payload in self.payloads if payload["op"] == 0]

    @property
    def close_code(self) -> int | None:
        return next((effect.code for effect in self.effects if isinstance(effect, Close)), None)

    @property
    def session_id(self) -> str:
        ready = next(payload for payload in self.payloads if payload["t"] == "READY")
        return str(ready["d"]["session_id"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def discord(clock: FakeClock) -> LocalDiscord:
    return LocalDiscord(Mint(b"a secret of the tests"), clock, Rules())


@pytest.fixture
def application(discord: LocalDiscord) -> Application:
    return discord.world.register("alpha")


@pytest.fixture
def token(discord: LocalDiscord, application: Application) -> str:
    return discord.world.token_of(application)


@pytest.fixture
def socket(discord: LocalDiscord) -> FakeSocket:
    return FakeSocket(discord)


@pytest.fixture
def guild(discord: LocalDiscord, application: Application) -> Guild:
    return discord.world.guilds[application.home_guild_id]


@pytest.fixture
def channel(discord: LocalDiscord, application: Application) -> Channel:
    return discord.world.channels[application.home_channel_id]
