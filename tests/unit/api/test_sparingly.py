"""What strangers cause in the log is bounded."""

import structlog
from structlog.testing import capture_logs

from api.sparingly import Sparingly


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_logged_and_the_rest_counted_in_the_next_line() -> None:
    clock = Clock()
    sparingly = Sparingly(burst=3, every_s=10, clock=clock)
    structlog.reset_defaults()
    with capture_logs() as lines:
        for _ in range(100):
            sparingly.warn("request.refused", "a", peer="p")
        sparingly.warn("request.refused", "b")
        assert [line["code"] for line in lines] == ["a", "a", "a", "b"]
        clock.now = 10
        sparingly.warn("request.refused", "a")
        sparingly.warn("request.refused", "a")
    assert [line.get("left_out") for line in lines[4:]] == [97, None]
