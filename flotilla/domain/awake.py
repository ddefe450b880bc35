"""Time as a program was awake for it: a clock that leaves out what the program itself slept through.

A program that was stopped (SIGSTOP, `docker pause`, a snapshot of its machine, a disk that hung) has heard nobody
meanwhile, so nobody was silent. Whoever measures silence by this clock cannot mistake the one for the other. Pure: the
caller reads the clock. Times are seconds of CLOCK_MONOTONIC, which stands still while a machine is suspended; so does
this one.
"""

TOLERANCE_S = 0.25
"""A turn of the event loop, or a wait that ends late, counts up to this; what goes beyond it was slept through."""


class AwakeClock:
    """Seconds that never run faster than the clock they are made of, and by `TOLERANCE_S` at most across one stall.

    An event loop tells it when it begins to wait for its sockets (`waits`), and when and after how long a wait that it
    had asked for it has looked at them again (`looked`). now: a second of the underlying clock, never an earlier one
    than before.
    """

    __slots__ = ("_deferred", "_known", "_marked_at", "missed_s", "stalls")

    def __init__(self, now: float) -> None:
        self.missed_s = 0.0
        """What has been slept through in all."""
        self.stalls = 0
        self._known = 0
        self._deferred = False
        self._marked_at = now

    def read(self, now: float) -> float:
        """Return the second it is, between two looks at the sockets."""
        late_s = now - self._marked_at - TOLERANCE_S
        return now - self.missed_s - late_s if late_s > 0.0 else now - self.missed_s

    def waits(self, now: float) -> None:
        """The program begins to wait for its sockets. What it did since it last looked counts up to the tolerance."""
        self.looked(now, 0.0)

    def looked(self, now: float, asked_s: float) -> None:
        """The program has looked at its sockets again, after it had asked to be woken in `asked_s` at the latest.

        asked_s: at least 0, which says that it did not wait.
        """
        late_s = now - self._marked_at - asked_s - TOLERANCE_S
        if late_s > 0.0:
            self.missed_s += late_s
            self.stalls += 1
        self._marked_at = now

    def may_judge(self) -> bool:
        """Return whether everybody was heard before they are judged. Never False twice in a row.

        The first time after a stall it is False: what waits in the sockets is read first. The next time it is True even
        if there was another stall meanwhile, or a program that is always late would never judge anybody.
        """
        self._deferred = self.stalls != self._known and not self._deferred
        self._known = self.stalls
        return not self._deferred
