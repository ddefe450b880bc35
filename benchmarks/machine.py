"""What the figures were measured on and with."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

GB = 1e9


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine at one moment. load: the kernel's averages over 1, 5 and 15 minutes."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    hikari: str
    lightbulb: str
    load: tuple[float, float, float]

    @classmethod
    def here(cls) -> "Machine":
        """Return this machine, now."""
        return cls(
            cpu=_cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            memory_gb=round(psutil.virtual_memory().total / GB, 1),
            kernel=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            hikari=version("hikari"),
            lightbulb=version("hikari-lightbulb"),
            load=os.getloadavg(),
        )

    def lines(self) -> list[str]:
        """Return it for reading."""
        load = ", ".join(f"{average:.2f}" for average in self.load)
        return [
            f"Machine: {self.cpu}, {self.cores} cores, {self.memory_gb:g} GB, {self.kernel}; load before: {load}",
            f"Versions: Python {self.python}, hikari {self.hikari}, lightbulb {self.lightbulb}",
        ]

    def as_json(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
