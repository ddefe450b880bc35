"""What roll-overs look like on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from flotilla.domain.bots import BotView, Desired
from flotilla.domain.rollover import Pace, wave_sizes
from flotilla.domain.rollover_record import Phase, RolloverView
from flotilla.domain.worker import State

_ALIVE = {State.STARTING, State.RUNNING, State.STOPPING}


class NewRollover(Struct, forbid_unknown_fields=True, frozen=True):
    """Move all bots to the code as it is now, with the settings as they are. dry_run: say how, and do nothing."""

    dry_run: bool = False


class RolloverDryRun(Struct, frozen=True):
    """How a roll-over would go if it began now and no bot failed."""

    total: Annotated[int, Meta(description="Bots that would be moved.")]
    canary: Annotated[str, Meta(description="Name of the bot that would move first.")] | None
    waves: Annotated[list[int], Meta(description="How many bots each wave has; the first is the canary.")]
    unjudged: Annotated[int, Meta(description="Bots that run but are not READY and stable; they would move last.")]
    in_motion: Annotated[int, Meta(description="Most bots that are between two fork servers at once.")]
    least_s: Annotated[float, Meta(description="Seconds that the watch after each wave takes.")]
    session_starts: Annotated[
        int, Meta(description="IDENTIFYs it costs at most; a session that is resumed costs none.")
    ]
    dry_run: bool = True

    @classmethod
    def of(cls, views: Sequence[BotView], pace: Pace) -> "RolloverDryRun":
        """Return the answer for the fleet as it is, in the order of names."""
        wanted = [view for view in views if view.bot.desired is Desired.RUNNING]
        alive = [view for view in wanted if view.status.state in _ALIVE]
        sound = [view for view in alive if view.status.ready and view.status.failures == 0]
        waves = wave_sizes(len(sound))
        return cls(
            total=len(alive),
            canary=sound[0].bot.name if sound else None,
            waves=waves,
            unjudged=len(alive) - len(sound),
            in_motion=pace.room(len(wanted)),
            least_s=len(waves) * pace.watch_s,
            session_starts=len(alive),
        )


class Rollover(Struct, frozen=True):
    """A roll-over and how far it is."""

    id: str
    state: Phase
    wave: Annotated[int, Meta(description="Number of the current wave; 1 is the canary.")]
    total: Annotated[int, Meta(description="Bots that should run.")]
    moved: Annotated[int, Meta(description="Bots whose process is of the new fork server.")]
    moving: Annotated[int, Meta(description="Bots in motion.")]
    old_server: int | None
    new_server: int | None
    reason: Annotated[str, Meta(description="Why it did not end as done, and what to do.")] | None
    details: Annotated[str, Meta(description="A traceback, or the fork server's last words.")] | None
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, view: RolloverView) -> "Rollover":
        """Return the answer for a domain view."""
        request, status = view.request, view.status
        return cls(
            id=request.id,
            state=status.phase,
            wave=status.wave,
            total=status.total,
            moved=status.moved,
            moving=status.moving,
            old_server=status.old_server,
            new_server=status.new_server,
            reason=status.reason,
            details=status.details or None,
            requested_by=request.requested_by,
            created_at=request.created_at,
            started_at=status.started_at,
            finished_at=status.finished_at,
        )


class RolloverPage(Struct, frozen=True):
    """Roll-overs, the newest first."""

    items: list[Rollover]
    next_cursor: str | None
