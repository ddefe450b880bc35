import asyncio
import time

from worker_bot.pace import IdentifyPace


async def test_shards_of_one_bucket_take_turns_and_those_of_others_do_not_wait() -> None:
    pace = IdentifyPace(max_concurrency=2, interval_s=0.1)
    began = time.monotonic()
    waited: dict[int, float] = {}

    async def identify(shard_id: int) -> None:
        await pace.wait(shard_id)
        waited[shard_id] = time.monotonic() - began

    await asyncio.gather(*(identify(shard_id) for shard_id in range(5)))
    assert list(waited) == [0, 1, 2, 3, 4]
    assert waited[1] < 0.1 <= waited[2] < waited[4]
    assert waited[4] >= 0.2
