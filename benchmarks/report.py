"""What a benchmark found, as a table for people and as JSON."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

OURS = "Flotilla"


@dataclass(frozen=True, slots=True)
class Target:
    """A promise beside what was measured."""

    promise: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark. rows: cells, one per column. raw: the samples themselves."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    targets: tuple[Target, ...]
    raw: dict[str, Any] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print the table, which is Markdown too, and the targets."""
        console.print(f"\n[bold]{self.title}[/bold]")
        table = Table(*self.columns, box=box.MARKDOWN)
        for column in table.columns:
            column.no_wrap = True
            column.justify = "left" if column is table.columns[0] else "right"
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for target in self.targets:
            word = "[green]met[/green]" if target.met else "[red]not met[/red]"
            console.print(f"Target {target.promise}: {target.measured}, {word}", soft_wrap=True)

    def as_json(self) -> dict[str, Any]:
        """Return samples and targets."""
        targets = [{"promise": t.promise, "measured": t.measured, "met": t.met} for t in self.targets]
        return {"title": self.title, "samples": self.raw, "targets": targets}


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of at least one sample."""
    rank = math.ceil(len(samples) * percent / 100)
    return sorted(samples)[max(rank, 1) - 1]


def ratio_to_best(samples: dict[str, list[float]], ours: str = OURS) -> float:
    """Return how many times smaller our median is than the smallest median among the others."""
    medians = {name: statistics.median(values) for name, values in samples.items()}
    best = min(value for name, value in medians.items() if not name.startswith(OURS))
    return best / medians[ours]


def seconds(values: Iterable[float]) -> str:
    """Return the median in seconds, for a cell."""
    return f"{statistics.median(values):.2f} s"


def milliseconds(value_s: float) -> str:
    """Return a time given in seconds, for a cell."""
    return f"{value_s * 1000:.0f} ms"


def megabytes(size_bytes: float) -> str:
    """Return a size, 1 MB = 10^6 bytes, for a cell."""
    return f"{size_bytes / 1e6:.1f} MB"
