"""How a fleet moves to a new fork server: `step(rollover, event, now, pace) -> (rollover, effects)`.

Total over every (phase, event) pair, without a clock, I/O or randomness. A canary first, then waves that double; each
waits until its bots are READY and have been watched. Which bots are of the new fork server is not remembered but seen
at every look, so nothing that happens to a bot meanwhile can put the plan out of step. Times are monotonic seconds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from flotilla.domain.reasons import Verdict, reason
from flotilla.domain.rollover_record import FINISHED, Phase

NOT_THE_CODE = frozenset({"token_refused", "token_unreadable", "sharding_required"})
"""Reasons for FATAL that say nothing about the code that a bot runs."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and how careful. in_motion: most bots that are between two fork servers at once.

    max_unavailable: the same as a share of the bots that should run; one bot may always move. ready_within_s: how long
    a move may take. watch_s: how long a moved bot must run after it is READY.
    """

    in_motion: int = 16
    max_unavailable: float = 0.1
    ready_within_s: float = 65.0
    watch_s: float = 5.0

    def room(self, bots: int) -> int:
        """Return how many of `bots` may be in motion at once, at least 1."""
        return max(1, min(self.in_motion, int(bots * self.max_unavailable)))


@dataclass(frozen=True, slots=True)
class Sight:
    """A bot as one look finds it.

    wanted: it should run. alive: it has a process. starting: which is not READY yet; it has taken up a session that it
    could not hand over now. sound: READY, and no failure since its last stable run. new: its
    process, or the last one, is of the new fork server. resting: it waits for its next try, or has given up. failing:
    it has failed since its last stable run.
    """

    name: str
    wanted: bool = True
    alive: bool = True
    starting: bool = False
    ready: bool = True
    sound: bool = True
    new: bool = False
    resting: bool = False
    failing: bool = False


Sights = Mapping[str, Sight]


@dataclass(frozen=True, slots=True)
class Rollover:
    """Where a roll-over stands.

    way_back: there is a fork server with the code of before. wave: number of the current one, 1 is the canary.
    queue: bots of this wave that have not begun. moving: bots in motion, and until when they must be READY. moved:
    bots that are READY, and until when they are watched. unjudged: bots that were not sound before: their failures
    say nothing. left: bots that did not come back in time.
    patience: until when to wait for a first sound bot. details: a traceback, or what the fork server said.
    """

    phase: Phase = Phase.PENDING
    way_back: bool = True
    wave: int = 0
    queue: tuple[str, ...] = ()
    moving: Mapping[str, float] = field(default_factory=dict)
    moved: Mapping[str, float] = field(default_factory=dict)
    unjudged: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    patience: float | None = None
    reason: str | None = None
    details: str | None = None


# Events --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """A supervisor takes the roll-over up."""


@dataclass(frozen=True, slots=True)
class CameUp:
    """The new fork server is warm and has imported everything."""


@dataclass(frozen=True, slots=True)
class NotUp:
    """The new fork server did not come up. why: a sentence. details: its last words, such as a traceback."""

    why: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class NewLost:
    """The new fork server is gone; its workers live on."""


@dataclass(frozen=True, slots=True)
class OldLost:
    """The fork server of before is gone, and the old code with it."""


@dataclass(frozen=True, slots=True)
class BotFailed:
    """A worker of the new fork server ended, and nothing was done about it yet; code: of `reasons.REASONS`."""

    bot_id: str
    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What all bots are like now, by id."""

    bots: Sights


# Effects -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartServer:
    """Start a fork server beside the one that serves; without a way back, use the one that serves."""


@dataclass(frozen=True, slots=True)
class Move:
    """Restart a bot from the new fork server."""

    bot_id: str


@dataclass(frozen=True, slots=True)
class Return:
    """From now on fork all bots from the fork server that serves."""


@dataclass(frozen=True, slots=True)
class MoveBack:
    """Restart a bot from the fork server that serves."""

    bot_id: str


@dataclass(frozen=True, slots=True)
class Promote:
    """The new fork server serves from now on, and the old one ends."""


@dataclass(frozen=True, slots=True)
class Discard:
    """End the new fork server; all bots are of the one that serves."""


Event = Begun | CameUp | NotUp | NewLost | OldLost | BotFailed | Looked
Effect = StartServer | Move | Return | MoveBack | Promote | Discard
Outcome = tuple[Rollover, tuple[Effect, ...]]


def step(rollover: Rollover, event: Event, now: float, pace: Pace) -> Outcome:
    """Return the roll-over after `event` at monotonic second `now`, and the orders for the shell.

    A finished roll-over is changed by nothing.
    """
    if rollover.phase in FINISHED:
        return rollover, ()
    return _TABLE[type(event)](rollover, event, now, pace)


def taken_up(phase: Phase) -> Rollover:
    """Return where a roll-over stands for a supervisor that finds it in `phase`, as a supervisor before left it.

    Fork servers end with their supervisor, and the one of this supervisor has the new code. So what has begun is
    carried on without a way back, and what was on the way back ends where it is.
    """
    if phase in {Phase.PENDING, Phase.WARMING}:
        return Rollover()
    if phase in _FORTH:
        return Rollover(way_back=False)
    why = (
        "The supervisor ended while it was taking bots back, and the fork server with the old code with it. "
        "Bots that were not taken back yet run the new code. Mend the code, then roll over again."
    )
    return Rollover(Phase.INTERRUPTED, way_back=False, reason=why)


def wave_sizes(bots: int) -> list[int]:
    """Return how many bots each wave has when `bots` move: 1, 2, 4 and so on, the last one what is left."""
    sizes: list[int] = []
    while bots > 0:
        sizes.append(min(bots, 2 ** len(sizes)))
        bots -= sizes[-1]
    return sizes


def speaks_against_code(code: str) -> bool:
    """Return whether the end of a worker for this reason may be the fault of the code that it runs."""
    verdict = reason(code).verdict
    return verdict is Verdict.RETRY or (verdict is Verdict.GIVE_UP and code not in NOT_THE_CODE)


# One function per event; each decides every phase that is not finished. ----------------------------------------------

_FORTH = {Phase.CANARY, Phase.ROLLING}


def _on_begun(rollover: Rollover, _event: Begun, _now: float, _pace: Pace) -> Outcome:
    if rollover.phase is Phase.PENDING:
        return replace(rollover, phase=Phase.WARMING), (StartServer(),)
    return rollover, ()


def _on_came_up(rollover: Rollover, _event: CameUp, now: float, pace: Pace) -> Outcome:
    if rollover.phase is Phase.WARMING:
        return replace(rollover, phase=Phase.CANARY, patience=now + pace.ready_within_s), ()
    return rollover, ()


def _on_not_up(rollover: Rollover, event: NotUp, _now: float, _pace: Pace) -> Outcome:
    if rollover.phase is Phase.WARMING:
        return _failed(rollover, event.why, event.details), (Discard(),)
    return rollover, ()


def _on_new_lost(rollover: Rollover, _event: NewLost, _now: float, _pace: Pace) -> Outcome:
    if rollover.phase in _FORTH:
        return _turn_back(rollover, "The new fork server ended by itself. Look at the supervisor's log.")
    return rollover, ()


def _on_old_lost(rollover: Rollover, _event: OldLost, _now: float, _pace: Pace) -> Outcome:
    return replace(rollover, way_back=False), ()


def _on_bot_failed(rollover: Rollover, event: BotFailed, now: float, pace: Pace) -> Outcome:
    bot_id = event.bot_id
    judged = bot_id in rollover.moving or now < rollover.moved.get(bot_id, now)
    if rollover.phase not in _FORTH or not judged or bot_id in rollover.unjudged:
        return rollover, ()
    why = reason(event.code)
    if speaks_against_code(event.code):
        when = "before it was READY" if bot_id in rollover.moving else "soon after it was READY"
        turned, effects = _turn_back(
            rollover, f"{event.name} failed {when} with the new code: {why.title}. {why.remedy}"
        )
        # It comes back by itself, or rests and is hurried; either way it is waited for.
        waited = {bot_id: now + pace.ready_within_s} if turned.phase is Phase.ROLLING_BACK else {}
        return replace(turned, moving=waited), effects
    if why.verdict is Verdict.GIVE_UP:
        unjudged = rollover.unjudged | {bot_id}
        return replace(rollover, moving=_without(rollover.moving, (bot_id,)), unjudged=unjudged), ()
    return rollover, ()


def _on_looked(rollover: Rollover, event: Looked, now: float, pace: Pace) -> Outcome:
    if rollover.phase in _FORTH:
        return _look_forth(rollover, event.bots, now, pace)
    if rollover.phase is Phase.ROLLING_BACK:
        return _look_back(rollover, event.bots, now, pace)
    return rollover, ()


_TABLE: dict[type, Callable[..., Outcome]] = {
    Begun: _on_begun,
    CameUp: _on_came_up,
    NotUp: _on_not_up,
    NewLost: _on_new_lost,
    OldLost: _on_old_lost,
    BotFailed: _on_bot_failed,
    Looked: _on_looked,
}

# Forth ---------------------------------------------------------------------------------------------------------------


def _look_forth(rollover: Rollover, bots: Sights, now: float, pace: Pace) -> Outcome:
    rollover = _settle(rollover, bots, now, pace)
    late = [bot_id for bot_id, until in rollover.moving.items() if now >= until and bot_id not in rollover.unjudged]
    if late:
        name = bots[late[0]].name
        return _turn_back(rollover, f"{name} was not READY within {pace.ready_within_s:g} s with the new code.")
    if not rollover.queue and not rollover.moving and all(now >= until for until in rollover.moved.values()):
        rollover, effects = _next_wave(rollover, bots, now)
        if rollover.phase not in _FORTH:
            return rollover, effects
    return _begin(rollover, bots, now, pace)


def _settle(rollover: Rollover, bots: Sights, now: float, pace: Pace) -> Rollover:
    """Take those that have arrived, or are of no interest any more, out of motion."""
    arrived, dropped = [], []
    for bot_id, until in rollover.moving.items():
        sight = bots.get(bot_id)
        if sight is None or not sight.wanted:
            dropped.append(bot_id)
        elif sight.new and sight.ready:
            arrived.append(bot_id)
        elif bot_id in rollover.unjudged and ((sight.new and sight.resting) or now >= until):
            dropped.append(bot_id)
    watched = {bot_id: now + pace.watch_s for bot_id in arrived if bot_id not in rollover.unjudged}
    return replace(
        rollover,
        moving=_without(rollover.moving, arrived + dropped),
        moved={**rollover.moved, **watched},
        queue=tuple(bot_id for bot_id in rollover.queue if _may_move(bots, bot_id)),
        left=rollover.left | {bot_id for bot_id in dropped if bot_id in rollover.unjudged},
    )


def _next_wave(rollover: Rollover, bots: Sights, now: float) -> Outcome:
    ahead = [bot_id for bot_id in _by_name(bots) if _must_move(bots, bot_id) and bot_id not in rollover.left]
    if not ahead:
        return replace(rollover, phase=Phase.DONE), (Promote(),)
    ahead = [bot_id for bot_id in ahead if _may_move(bots, bot_id)]
    sound = [bot_id for bot_id in ahead if bots[bot_id].sound]
    if not ahead:
        return rollover, ()  # they are starting, and that ends by itself
    wave = rollover.wave + 1
    if sound:
        queue = tuple(sound[: 2 ** (wave - 1)])
        phase = Phase.CANARY if wave == 1 else Phase.ROLLING
        return replace(rollover, phase=phase, wave=wave, queue=queue), ()
    if not rollover.moved:
        if rollover.patience is not None and now < rollover.patience:
            return rollover, ()
        if not all(bots[bot_id].failing for bot_id in ahead):
            why = (
                "No bot is READY and stable, so the new code could not be tried on one. "
                "Mend the bots first: flotilla bots ls"
            )
            return _failed(rollover, why), (Discard() if rollover.way_back else Promote(),)
    # Those that fail anyway have nothing to lose, and may be what the new code is to mend.
    unjudged = rollover.unjudged | frozenset(ahead)
    return replace(rollover, phase=Phase.ROLLING, wave=wave, queue=tuple(ahead), unjudged=unjudged), ()


def _begin(rollover: Rollover, bots: Sights, now: float, pace: Pace) -> Outcome:
    room = pace.room(sum(sight.wanted for sight in bots.values())) - len(rollover.moving)
    begun = rollover.queue[: max(0, room)]
    moving = {**rollover.moving, **dict.fromkeys(begun, now + pace.ready_within_s)}
    return replace(rollover, moving=moving, queue=rollover.queue[len(begun) :]), tuple(map(Move, begun))


def _must_move(bots: Sights, bot_id: str) -> bool:
    sight = bots.get(bot_id)
    return sight is not None and sight.wanted and sight.alive and not sight.new


def _may_move(bots: Sights, bot_id: str) -> bool:
    return _must_move(bots, bot_id) and not bots[bot_id].starting


# Back ----------------------------------------------------------------------------------------------------------------


def _turn_back(rollover: Rollover, why: str) -> Outcome:
    """Go back if there is a way, else stop where it is: what was not moved keeps running the old code."""
    if not rollover.way_back:
        return _failed(
            rollover,
            f"{why} There is no fork server with the old code to go back to: bots that were not moved yet run on "
            "undisturbed; for the others mend the code, then roll over again.",
        ), (Promote(),)
    turned = replace(rollover, phase=Phase.ROLLING_BACK, queue=(), moving={}, moved={}, left=frozenset(), reason=why)
    return turned, (Return(),)


def _look_back(rollover: Rollover, bots: Sights, now: float, pace: Pace) -> Outcome:
    back, left = [], []
    for bot_id, until in rollover.moving.items():
        sight = bots.get(bot_id)
        if sight is None or not sight.wanted or sight.resting or (not sight.new and sight.ready):
            back.append(bot_id)
        elif now >= until:
            left.append(bot_id)
    moving = _without(rollover.moving, back + left)
    rollover = replace(rollover, left=rollover.left | frozenset(left))
    ahead = [bot_id for bot_id in _by_name(bots) if _must_go_back(rollover, bots, bot_id) and bot_id not in moving]
    if not ahead and not moving:
        return _come_back(replace(rollover, moving=moving), bots)
    # One that is starting goes back by itself if it fails, and if not, as soon as it has a session to hand over.
    ahead = [bot_id for bot_id in ahead if not bots[bot_id].starting]
    begun = ahead[: max(0, pace.in_motion - len(moving))]
    moving = {**moving, **dict.fromkeys(begun, now + pace.ready_within_s)}
    # What rests again after it was taken back once does so for reasons of its own.
    unjudged = rollover.unjudged | frozenset(begun)
    return replace(rollover, moving=moving, unjudged=unjudged), tuple(map(MoveBack, begun))


def _must_go_back(rollover: Rollover, bots: Sights, bot_id: str) -> bool:
    sight = bots[bot_id]
    # One that rests for reasons of its own has its next try from the fork server that serves, without being hurried.
    its_own_affair = sight.resting and bot_id in rollover.unjudged
    return sight.wanted and sight.new and bot_id not in rollover.left and not its_own_affair


def _come_back(rollover: Rollover, bots: Sights) -> Outcome:
    names = [bots[bot_id].name for bot_id in sorted(rollover.left) if bot_id in bots]
    why = rollover.reason or ""
    if names:
        why += f" Not READY again in time after the way back: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}."  # noqa: PLR2004
    if rollover.way_back:
        return replace(rollover, phase=Phase.ROLLED_BACK, reason=why), (Discard(),)
    why += " The fork server with the old code ended meanwhile, so they run the new code again."
    return _failed(rollover, why), (Discard(),)


def _failed(rollover: Rollover, why: str, details: str = "") -> Rollover:
    return replace(rollover, phase=Phase.FAILED, queue=(), moving={}, reason=why, details=details or rollover.details)


def _without(times: Mapping[str, float], gone: Iterable[str]) -> dict[str, float]:
    dropped = set(gone)
    return {bot_id: until for bot_id, until in times.items() if bot_id not in dropped}


def _by_name(bots: Sights) -> list[str]:
    return sorted(bots, key=lambda bot_id: bots[bot_id].name)
