"""What processes use, as the kernel has it: CPU to the nanosecond, memory by page."""

import threading
import time
from dataclasses import dataclass, field

import psutil

_SCHED_CLOCK = 2


def cpu_s(pid: int) -> float:
    """Return CPU seconds that a process has used, all its threads and those that ended included.

    /proc/PID/stat counts in ticks of 10 ms, of which a forked worker needs two to be READY.
    Source: clock_getcpuclockid(3), as glibc makes a clock's number of a pid.
    """
    return time.clock_gettime((~pid << 3) | _SCHED_CLOCK)


def role(process: psutil.Process) -> str:
    """Return what a process of Flotilla that is no worker does."""
    return "fork server" if "fork server" in " ".join(process.cmdline()) else "supervisor"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes. USS: what would come free if the process ended; PSS: USS and its share of what is shared."""

    uss: int
    pss: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Footprint":
        """Measure. Raises psutil.AccessDenied without root: workers are not dumpable."""
        info = process.memory_full_info()
        return cls(info.uss, info.pss)


@dataclass
class PeakWatch:
    """Watches one process' USS from a thread until the process ends or passes `stop_bytes`, which ends it.

    peak_bytes: the most that was seen. stopped: by us. ended_at: by `time.perf_counter`, None while it runs.
    """

    process: psutil.Process
    every_s: float
    stop_bytes: float
    peak_bytes: int = 0
    looks: int = 0
    stopped: bool = False
    ended_at: float | None = None
    _done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        """Stop watching; the process lives on."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._done.is_set():
                began = time.perf_counter()
                uss_bytes = self.process.memory_full_info().uss
                self.looks += 1
                self.peak_bytes = max(self.peak_bytes, uss_bytes)
                if uss_bytes > self.stop_bytes:
                    self.stopped = True
                    self.process.kill()
                    break
                time.sleep(max(0.0, self.every_s - (time.perf_counter() - began)))
        except psutil.NoSuchProcess:
            pass
        self.ended_at = time.perf_counter()
