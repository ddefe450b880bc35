"""Workers that have handed over: they end by themselves, and are seen off should they not."""

from dataclasses import dataclass

from flotilla.protocol import SEALED_S
from supervisor.processes import WorkerProcess

LATE_S = SEALED_S + 5.0
"""A worker that is stopped or stuck ends by nothing but a signal from outside."""


@dataclass(slots=True)
class _Predecessor:
    process: WorkerProcess
    reason: str | None
    deadline: float


class Predecessors:
    """The processes of old generations, by bot and generation."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, int], _Predecessor] = {}

    def __len__(self) -> int:
        """Return how many are left."""
        return len(self._all)

    def pids(self) -> set[int]:
        """Return the pids of those that live. May be called in any thread."""
        return {found.process.pid for found in list(self._all.values()) if found.process.held}

    def incarnations(self) -> list[tuple[str, int]]:
        """Return bot and generation of each. May be called in any thread."""
        return list(self._all)

    def add(self, bot_id: str, generation: int, process: WorkerProcess, reason: str | None, now: float) -> None:
        """Note a worker that has handed over for `reason`; it is killed if it is there for `LATE_S` from now on."""
        self._all[bot_id, generation] = _Predecessor(process, reason, now + LATE_S)

    def gone(self, bot_id: str, generation: int) -> tuple[bool, str | None]:
        """Return whether a process that has ended was one of these, and why it had handed over. It is forgotten."""
        found = self._all.pop((bot_id, generation), None)
        return found is not None, None if found is None else found.reason

    def end(self, bot_id: str) -> None:
        """Have a bot's end their sessions: nobody shall go on with them."""
        for (owner, _), found in self._all.items():
            if owner == bot_id:
                found.process.terminate()

    def tick(self, now: float) -> None:
        """Kill those that are late."""
        for found in self._all.values():
            if now >= found.deadline:
                found.deadline = now + LATE_S
                found.process.kill()

    def kill_all(self) -> None:
        """End every one, now."""
        for found in self._all.values():
            found.process.kill()

    def release(self) -> None:
        """Let go of all; they live on."""
        for found in self._all.values():
            found.process.release()
