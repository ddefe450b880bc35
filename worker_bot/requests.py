"""What a worker's bot may ask of Discord, and the count of answers that bring the host's address nearer to its ban.

A worker counts for itself, tells its supervisor, and does as that says. It stops by itself when its token is dead, and
within a small bound of its own while no supervisor is there.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flotilla.discord import INVALID_REQUESTS_WINDOW_S
from flotilla.domain.requests import BIN_S, LIFT_RATIO, Bins, Brake, bin_of
from flotilla.protocol import InvalidRequests, RequestLimits
from worker_bot.metrics import Metrics

REPORT_EVERY_S = 0.5
ANSWER_WITHIN_S = 3.0
"""A supervisor answers every report; one that does not is away, or hangs. A new one takes over within 2 s."""

ORDERS_LAPSE_S = INVALID_REQUESTS_WINDOW_S
"""An order to hold back is renewed by a supervisor that lives; one older than the window is void."""

SLOW_WAIT_MAX_S = 30.0
"""A request that would wait longer for its turn fails at once, so that no line grows without end."""

UNDER_WAY_MAX = 20
"""Calls of a bot at once that are not vital: at 400 ms each still the 50 a second that Discord allows a bot."""

DEAD_TOKEN_AFTER = 5
"""Refusals of the token in a row that prove it dead. One could be Discord's own mistake."""

VITAL_ROUTES = frozenset(
    {
        "/interactions/{interaction}/{token}/callback",
        "/webhooks/{webhook}/{token}/messages/@original",
        "/gateway",
        "/gateway/bot",
        "/oauth2/applications/@me",
    }
)
"""Answers to interactions, and what a gateway session needs to begin."""

FOLLOW_UP_ROUTES = frozenset({"/webhooks/{webhook}/{token}", "/webhooks/{webhook}/{token}/messages/{message}"})
"""Vital for the webhook that an application has for its interactions, whose id is the application's."""

START_ROUTES = frozenset(
    {"/applications/{application}/commands", "/applications/{application}/guilds/{guild}/commands"}
)
"""What lightbulb asks before a cold start. A quarantined bot may start; while the brake is `vital` none may."""

UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS = 401, 403, 429
INVALID_STATUSES = frozenset({UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS})
SERVER_ERROR = 500
TOKEN_REFUSED_CODES = frozenset({0, 40001})
"""JSON codes of a 401 that mean the bot's token; 50027 means a webhook's. Source: Discord, JSON error codes."""

log = logging.getLogger("flotilla.requests")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its route as a template without ids or tokens. owner: the id of its webhook, if it is for one.

    as_bot: whether it carries the bot's token.
    """

    method: str
    route: str
    owner: str = ""
    as_bot: bool = True


class HeldBackError(Exception):
    """A call must not be made now. The message says why and what to do; retry_after_s: when it may be worth a try."""

    def __init__(self, why: str, retry_after_s: float) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class RequestGuard:
    """Counts invalid requests, and holds back what may not be asked. Made inside a running event loop.

    clock: monotonic seconds, as all processes of the host have them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unanswered_since: float | None = None
        self._limits, self._obeyed_at = RequestLimits(), clock()
        self._own_ids: set[str] = set()
        self._bins, self._causes = Bins(), Counter[str]()
        self._untold: set[int] = set()
        self._untold_count = 0
        self._news, self._urgent = asyncio.Event(), asyncio.Event()
        self._next_at = 0.0
        self._refusals = 0
        self._under_way, self._one_by_one = asyncio.Semaphore(UNDER_WAY_MAX), asyncio.Lock()
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._alone = self._closed = False
        self.starting = True
        self.metrics: Metrics | None = None
        """Where requests are counted by how they end."""
        self.answered_elsewhere: Callable[[], None] = lambda: None
        """Told of each interaction that was answered already, though not by this process."""
        self.token_refused = asyncio.Event()

    def own(self, application_id: str) -> None:
        """Know an id of the bot's: webhooks of that id are for its interactions."""
        self._own_ids.add(application_id)

    # What the supervisor says, and is told ---------------------------------------------------------------------------

    def obey(self, limits: RequestLimits) -> None:
        """Do as the supervisor says from now on."""
        if (limits.brake, limits.quarantined) != (self._limits.brake, self._limits.quarantined):
            held = ", quarantined" if limits.quarantined else ""
            log.warning("requests of this bot: brake %s%s", limits.brake.value, held)
            self.wake()
        self._limits, self._obeyed_at, self._unanswered_since = limits, self._clock(), None

    def tell_all(self) -> None:
        """Tell everything anew, to a supervisor that may know nothing of it."""
        self._untold |= set(self._bins.counts)
        if self._untold:
            self._news.set()

    def news(self) -> InvalidRequests | None:
        """Return what was not told yet, None if nothing."""
        self._bins.prune(self._clock())
        bins = tuple((number, self._bins.counts[number]) for number in sorted(self._untold & self._bins.counts.keys()))
        self._untold, self._untold_count = set(), 0
        if not bins:
            return None
        if self._unanswered_since is None:
            self._unanswered_since = self._clock()
        return InvalidRequests(bins, self.most)

    @property
    def most(self) -> str:
        """The status and route that brought the most invalid requests so far."""
        return next((cause[:200] for cause, _ in self._causes.most_common(1)), "")

    async def report(self, send: Callable[[InvalidRequests], None]) -> None:
        """Send what is new, the first at once, then every REPORT_EVERY_S, sooner when it is much. Never returns."""
        while True:
            await self._news.wait()
            self._news.clear()
            self._urgent.clear()
            self.flush(send)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), REPORT_EVERY_S)

    def flush(self, send: Callable[[InvalidRequests], None]) -> None:
        """Send what is new at once: this worker ends."""
        message = self.news()
        if message is not None:
            send(message)

    # What passes -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let no request pass any more, whatever it is for: the worker's successor acts for the bot."""
        self._closed = True
        self.wake()

    def require(self, call: Call) -> None:
        """Raise HeldBackError for a call that may not be made now."""
        if self._closed:
            raise HeldBackError("This worker has handed the bot over to its successor, which acts for it.", BIN_S)
        if call.as_bot and self.token_refused.is_set():
            raise HeldBackError("Discord does not accept this bot's token any more. Give the bot a new one.", BIN_S)
        why = self._why_held(call)
        if why:
            most = f" Most of them: {self.most}." if self.most else ""
            raise HeldBackError(
                f"Flotilla holds back {call.method} {call.route}: {why}, since Discord bans the host's address for too "
                f"many requests that it answers with 401, 403 or 429.{most} Interactions are still answered. "
                "See: flotilla status",
                BIN_S,
            )

    async def pause(self, call: Call, seconds: float) -> None:
        """Wait so long, or until something has changed. Raises HeldBackError if the call may not be made any more."""
        await asyncio.wait({self._changed}, timeout=seconds)
        self.require(call)

    async def outlast(self, waiting: "asyncio.Future[None]", call: Call) -> None:
        """Return when `waiting` is done. Raises HeldBackError as soon as the call may not be made any more."""
        while not waiting.done():
            await asyncio.wait({waiting, self._changed}, return_when=asyncio.FIRST_COMPLETED)
            self.require(call)

    @asynccontextmanager
    async def passing(self, call: Call) -> AsyncIterator[None]:
        """Let a call through, in its turn while all are slowed. Raises HeldBackError.

        So many calls are under way at once that a brake leaves few of them behind it. While the bot's token is in doubt
        they go one by one, so that a dead token costs few of them.
        """
        if self.is_vital(call):
            self.require(call)
            yield
            return
        await self._take_turn(call)
        async with self._under_way:
            self.require(call)
            if not (call.as_bot and self._refusals):
                yield
                return
            async with self._one_by_one:
                self.require(call)
                yield

    def answered(self, call: Call, status: int, scope: str | None, code: int | None) -> None:
        """Count an answer. scope: of X-RateLimit-Scope. code: Discord's JSON code, None if it is not known."""
        if self.metrics is not None:
            self.metrics.answered(status, scope)
        if call.as_bot:
            self._judge_token(status, code)
        if status not in INVALID_STATUSES or scope == "shared":
            return
        number = bin_of(self._clock())
        self._bins.add(number, 1)
        self._causes[f"{status} {call.method} {call.route}"] += 1
        self._untold.add(number)
        self._untold_count += 1
        self._news.set()
        if self._untold_count >= self._limits.report_at:
            self._urgent.set()

    def _judge_token(self, status: int, code: int | None) -> None:
        if status == UNAUTHORIZED:
            self._refusals += code in TOKEN_REFUSED_CODES
        elif status < SERVER_ERROR and status != TOO_MANY_REQUESTS:  # these say nothing of the token
            self._refusals = 0
        if self._refusals >= DEAD_TOKEN_AFTER:
            self.token_refused.set()
            self.wake()

    def wake(self) -> None:
        """Let all that waits look again."""
        self._changed.set_result(None)
        self._changed = asyncio.get_running_loop().create_future()

    # Why not ---------------------------------------------------------------------------------------------------------

    def is_vital(self, call: Call) -> bool:
        """Return whether a call passes under every brake."""
        return call.route in VITAL_ROUTES or (call.route in FOLLOW_UP_ROUTES and call.owner in self._own_ids)

    def _brake(self) -> Brake:
        return Brake.NONE if self._is_void() else self._limits.brake

    def _is_void(self) -> bool:
        return self._clock() - self._obeyed_at > ORDERS_LAPSE_S

    def _why_held(self, call: Call) -> str:
        """Return why a call is held back, or an empty string."""
        if self.is_vital(call):
            return ""
        if self._brake() is Brake.VITAL:
            return "only vital requests pass"
        if self.starting and call.route in START_ROUTES:
            return ""
        if self._limits.quarantined and not self._is_void():
            return "this bot is quarantined"
        return "no supervisor watches this bot, and it made too many" if self._is_alone_too_long() else ""

    def _is_alone_too_long(self) -> bool:
        """Return whether the bot's own bound holds it back: set at `alone`, lifted a little below it."""
        now, since = self._clock(), self._unanswered_since
        if since is None or now - since < ANSWER_WITHIN_S:
            self._alone = False
        else:
            self._alone = self._bins.total(now) >= self._limits.alone * (LIFT_RATIO if self._alone else 1)
        return self._alone

    async def _take_turn(self, call: Call) -> None:
        """Wait for the call's turn while all are slowed. Raises HeldBackError, also for a wait that is too long."""
        self.require(call)
        if self._brake() is not Brake.SLOW:
            return
        now = self._clock()
        wait_s = max(0.0, self._next_at - now)
        if wait_s > SLOW_WAIT_MAX_S:
            raise HeldBackError(
                f"Flotilla slows all requests of this host, and {call.method} {call.route} would wait for more than "
                f"{SLOW_WAIT_MAX_S:.0f} s. See: flotilla status",
                wait_s,
            )
        self._next_at = max(now, self._next_at) + random.uniform(0.5, 1.5) / self._limits.slow_per_s  # noqa: S311 - jitter
        while self._brake() is Brake.SLOW and (left_s := now + wait_s - self._clock()) > 0:
            await asyncio.wait({self._changed}, timeout=left_s)
            self.require(call)
