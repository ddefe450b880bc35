"""What the fleet has others do."""

from collections.abc import Callable
from dataclasses import dataclass

from flotilla.domain.bots import BotStatus
from flotilla.domain.diagnosis import Exit
from supervisor.member import Member
from supervisor.processes import WorkerProcess


def _never(_member: Member) -> None:
    return None


def _nothing_left(_member: Member, _status: BotStatus) -> bool:
    return False


def _at_once(act: Callable[[], None]) -> None:
    act()


@dataclass(frozen=True, slots=True)
class Shell:
    """What the fleet has others do.

    spawn: fork a worker, which will prove itself with the secret. on_exit: a process of a generation is gone; call
    `Fleet.exited` when its exit code is known. on_lost: told of a member, and of what was
    stored of it, whose process ended while nobody saw it; returns whether it calls `Fleet.exited`, as on_exit does.
    dump_stacks: have a hanging worker write down where it hangs.
    on_gone: told how an incarnation ended, first of all. on_policy: told of a live worker whose policy has changed.
    on_config: told of a member whose config, or one of its guilds', has changed.
    withhold: why a worker is not to be spawned now, and for how many seconds; None: spawn it. on_fatal: told of a bot
    that is given up. when_stored: have something done once all that the journal was given is safe.
    """

    spawn: Callable[[Member, bytes], None]
    on_exit: Callable[[Member, int, WorkerProcess], None]
    dump_stacks: Callable[[Member], object]
    on_gone: Callable[[Member, Exit], None]
    on_policy: Callable[[Member], None]
    withhold: Callable[[Member], tuple[str, float] | None] = _never
    on_config: Callable[[Member], None] = _never
    on_fatal: Callable[[Member], object] = _never
    on_lost: Callable[[Member, BotStatus], bool] = _nothing_left
    when_stored: Callable[[Callable[[], None]], None] = _at_once
