"""Strangers on the control socket change nothing."""

import asyncio
import os

import pytest

from flotilla.protocol import VERSION, Beat, Fetch, FrameDecoder, Hello, Refused, encode, to_worker
from tests.stack import Stack, until
from worker_bot.fetching import fetch


async def say(stack: Stack, data: bytes) -> bytes:
    """Send bytes to the control socket; return all that comes back until it is closed."""
    reader, writer = await asyncio.open_unix_connection(str(stack.settings.control_socket))
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def refusal(answer: bytes) -> str:
    (body,) = FrameDecoder().feed(answer)
    message = to_worker.decode(body)
    assert isinstance(message, Refused)
    return message.why


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x05hello",
        encode(Beat(None)),
        b"\x00\x00\x00\x01\xc1",
    ],
    ids=["http", "huge frame", "not msgpack", "no Hello first", "invalid msgpack"],
)
async def test_nonsense_is_dropped_and_logged(stack: Stack, data: bytes) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    before = (await stack.all_ready(1))[bot_id]
    assert await say(stack, data) == b""
    await until(lambda: "control.dropped" in supervisor.text(), "it is logged")
    assert (await stack.status(bot_id)).pid == before.pid
    assert "Traceback" not in supervisor.text()


async def test_hello_with_a_wrong_secret_version_generation_or_bot_is_refused(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    secret = os.urandom(32)

    async def hello(version: int = VERSION, bot: str = bot_id, generation: int = 1) -> str:
        return refusal(await say(stack, encode(Hello(version, bot, generation, secret, running=False, ready=False))))

    assert await hello() == "its secret is wrong"
    assert "speaks protocol 99" in await hello(version=99)
    assert await hello(bot="nobody") == "there is no such bot"
    assert "has replaced it" in await hello(generation=7)
    assert supervisor.text().count("control.refused") == 4
    assert (await stack.status(bot_id)).ready


async def test_a_file_is_given_to_nobody_but_the_worker_whose_it_is(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor()
    await stack.all_ready(1)
    for who in ((bot_id, 1), (bot_id, 7), ("nobody", 1)):
        with pytest.raises(PermissionError):
            await asyncio.to_thread(fetch, stack.settings.control_socket, Fetch(*who, os.urandom(32), "session"))
    assert supervisor.text().count("control.not_given") == 2
    assert (await stack.status(bot_id)).ready


async def test_control_socket_is_for_its_owner_only(stack: Stack) -> None:
    """And for the group of bots that have users of their own, which others are not in."""
    await stack.start_supervisor(FLOTILLA_BOT_USERS="shared")
    assert stack.settings.control_socket.stat().st_mode & 0o077 == 0
    assert stack.settings.run_dir.stat().st_mode & 0o077 == 0
