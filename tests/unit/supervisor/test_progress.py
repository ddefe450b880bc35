import asyncio

from supervisor.progress import PAUSE_MAX_S, Progress, pause_s


async def test_each_waits_for_its_own_mark() -> None:
    progress = Progress()
    await progress.until_stored(0)
    progress.put = 3
    waiting = [asyncio.create_task(progress.until_stored(mark)) for mark in (1, 2, 3)]
    await asyncio.sleep(0)
    progress.reach(2)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, True, False]
    progress.reach(1)  # late: what is stored stays stored
    await progress.until_stored(2)
    waiting[2].cancel()
    await asyncio.sleep(0)
    progress.reach(3)
    await progress.until_stored(3)


def test_few_rows_are_followed_by_a_short_pause_and_many_by_a_bounded_one() -> None:
    assert pause_s(0) == 0
    assert pause_s(2) < 0.005
    assert pause_s(5000) == PAUSE_MAX_S
