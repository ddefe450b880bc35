"""What a supervisor says reaches who acts on it, also where it is said before there is anybody."""

import asyncio
import os
from pathlib import Path

import pytest

from flotilla.domain.config import BotConfig
from flotilla.protocol import (
    GuildsChanged,
    Reconfigure,
    SyncCommands,
    ToWorker,
    Welcome,
    WorkerConfig,
    WorkerLimits,
    encode,
)
from worker_bot.identify import IdentifyGate
from worker_bot.link import Link
from worker_bot.orders import MAX_EARLY, Orders
from worker_bot.requests import RequestGuard

WELCOME = Welcome("token", WorkerConfig("http://discord", (), "INFO", WorkerLimits()))
CHANGE = Reconfigure(BotConfig(), 1, ())


@pytest.fixture
async def orders() -> Orders:
    return Orders(RequestGuard(), IdentifyGate(lambda _: False))


async def test_config_change_that_is_read_together_with_welcome_is_not_lost(orders: Orders, tmp_path: Path) -> None:
    """The bot, and who takes its new configs, is made of what Welcome says, so a moment after it was read."""

    async def supervise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode(WELCOME) + encode(CHANGE))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    path, over = tmp_path / "s", asyncio.Event()
    server = await asyncio.start_unix_server(supervise, path)
    linking = asyncio.create_task(Link(path, "bot", 1, os.urandom(8)).keep(orders.take))
    assert await asyncio.wait_for(orders.welcome, 30) == WELCOME
    heard: list[ToWorker] = []
    orders.hear(Reconfigure, heard.append)
    assert heard == [CHANGE]
    orders.hear(Reconfigure, heard.append)
    assert heard == [CHANGE], "once"
    linking.cancel()
    await asyncio.wait({linking})
    await asyncio.wait_for(over.wait(), 30)
    server.close()
    await server.wait_closed()


async def test_early_messages_are_heard_in_their_order_and_the_first_welcome_is_not_heard_again(orders: Orders) -> None:
    early = [GuildsChanged(number, ()) for number in range(3)]
    said: tuple[ToWorker, ...] = (WELCOME, early[0], SyncCommands(1), *early[1:])
    for message in said:
        orders.take(message)
    heard: list[ToWorker] = []
    orders.hear(Welcome, heard.append)
    orders.hear(GuildsChanged, heard.append)
    assert heard == early
    orders.take(WELCOME)
    assert heard == [*early, WELCOME]


async def test_what_nobody_ever_hears_is_bounded(orders: Orders) -> None:
    for number in range(MAX_EARLY + 50):
        orders.take(SyncCommands(number))
    heard: list[ToWorker] = []
    orders.hear(SyncCommands, heard.append)
    assert (len(heard), heard[-1]) == (MAX_EARLY, SyncCommands(MAX_EARLY + 49))
