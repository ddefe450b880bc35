"""How the job program ends its tasks."""

import asyncio

from jobs.__main__ import end


async def test_a_task_that_is_deaf_to_the_first_cancellation_is_ended_by_the_next() -> None:
    heard = 0

    async def deaf_once() -> None:
        nonlocal heard
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                heard += 1
                if heard > 1:
                    raise

    async def ready() -> None:
        await asyncio.sleep(3600)

    tasks = [asyncio.create_task(deaf_once()), asyncio.create_task(ready())]
    await asyncio.sleep(0)
    await end(tasks)
    assert heard == 2
    assert all(task.cancelled() for task in tasks)
