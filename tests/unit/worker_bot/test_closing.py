"""The end of a lightbulb client, with the real lightbulb and linkd."""

import asyncio
import functools
import logging

import hikari
import lightbulb
import linkd
import pytest

import worker_bot.clients  # noqa: F401 - what it makes of lightbulb's clients

FAULTS = [OSError("the network is away"), SystemExit(3), asyncio.CancelledError()]


class Part:
    def __init__(self, closed: list[str], fault: BaseException | None = None) -> None:
        self.closed, self.fault = closed, fault

    async def close(self) -> None:
        self.closed.append(type(self).__name__)
        if self.fault is not None:
            raise self.fault


class Pool(Part): ...


class Session(Part): ...


class Cache(Part): ...


@pytest.fixture
async def client() -> lightbulb.Client:
    bot = hikari.GatewayBot("MQ.x.y", banner=None, logs=None, suppress_optimization_warning=True)
    return lightbulb.client_from_app(bot, sync_commands=False)


async def opened(client: lightbulb.Client, fault: BaseException | None) -> list[str]:
    """Let the client hold three parts, of which the second fails at its end; return who is closed, as it grows."""
    closed: list[str] = []
    registry = client.di.registry_for(linkd.Contexts.ROOT)
    for part, how in ((Pool, None), (Session, fault), (Cache, None)):
        registry.register_factory(part, functools.partial(part, closed, how), teardown=part.close)
    await client.start()

    @linkd.inject
    async def command(_pool: Pool, _session: Session, _cache: Cache) -> None: ...

    async with client.di.enter_context(linkd.Contexts.ROOT):
        await command()  # type: ignore[call-arg] # they are injected
    return closed


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_failing_teardown_leaves_nothing_else_open(
    client: lightbulb.Client, caplog: pytest.LogCaptureFixture, fault: BaseException
) -> None:
    closed = await opened(client, fault)
    await client.stop()
    assert closed == ["Cache", "Session", "Pool"]
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "the teardown of Session" in record.message
    assert record.exc_info is not None
    assert record.exc_info[1] is fault
    await client.stop()
    assert closed == ["Cache", "Session", "Pool"]  # each once


async def test_failing_teardown_is_told_with_its_extension(
    client: lightbulb.Client, caplog: pytest.LogCaptureFixture
) -> None:
    client._extensions.add(__name__)
    await opened(client, OSError())
    await client.stop()
    assert f"in the extension {__name__}" in caplog.text


async def test_closing_that_is_cancelled_ends(client: lightbulb.Client) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    closed = await opened(client, None)
    container = client.di.default_container
    assert container is not None
    container.add_value(object, object(), teardown=lambda _: hang())
    task = asyncio.create_task(client.stop())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == []


async def test_client_that_never_started_is_closed(client: lightbulb.Client) -> None:
    await client.stop()
