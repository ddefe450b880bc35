import pytest

from worker_bot.worker import BEATS_TOGETHER, pause_s


@pytest.mark.parametrize("heartbeat_s", [0.2, 1.0, 2.0])
def test_workers_beat_at_the_same_moments_and_never_late(heartbeat_s: float) -> None:
    moments = set()
    for number in range(1000):
        now = 12_345.678 + number * 0.0137
        pause = pause_s(heartbeat_s, now)
        assert heartbeat_s * (1 - 1 / BEATS_TOGETHER) <= pause + 1e-6
        assert pause <= heartbeat_s
        moments.add(round((now + pause) % heartbeat_s / heartbeat_s * BEATS_TOGETHER) % BEATS_TOGETHER)
        assert abs((now + pause) / heartbeat_s * BEATS_TOGETHER % 1 - 0.5) > 0.49
    assert len(moments) <= BEATS_TOGETHER
