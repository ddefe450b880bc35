"""The Unix socket where workers meet their supervisor: who may speak, and what each message means."""

import asyncio
import hashlib
import hmac
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from flotilla.domain.config import BotConfig
from flotilla.domain.policy import Policy
from flotilla.domain.reasons import reason_told
from flotilla.domain.worker import BecameReady, Failed, Heartbeat, LostReady, State
from flotilla.errors import FlotillaError
from flotilla.protocol import (
    VERSION,
    Beat,
    Configure,
    Failing,
    Fetch,
    FromWorker,
    Hello,
    NotReady,
    ProtocolError,
    Ready,
    Refused,
    Relieved,
    ToWorker,
    Welcome,
    WorkerConfig,
    WorkerLimits,
)
from supervisor.admission import Admission
from supervisor.configs import Configs
from supervisor.containment import Containment
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.link import Link
from supervisor.member import Member
from supervisor.requests import Requests
from supervisor.sessions import Sessions
from supervisor.tokens import Credentials, Tokens
from supervisor.users import BotUsers

STORE_TIMEOUT_S = 30.0
BACKLOG = 4096
ACCEPTED_AT_ONCE = 64
MAX_ID_CHARS = 64
MAX_CONNECTIONS = 8
"""Of one bot at once: one is in use, others may be on their way out."""

HEARD_OUT_S = 0.3
"""A child process of a bot may hold its connection open, so its end is no more than a good sign."""

CROWD_TOLD_EVERY_S = 10.0
_UNREADABLE = frozenset({"token_unreadable", "secret_unreadable"})

log = structlog.get_logger()


Taker = Callable[[Member, int, Any], None]
"""Takes a worker's message of one kind: whose it is, of which generation, and the message."""


class ControlServer:
    """Listens for workers. A peer that does not prove itself is refused, logged, and changes nothing."""

    def __init__(
        self,
        path: Path,
        fleet: Fleet,
        journal: Journal,
        tokens: Tokens,
        config: WorkerConfig,
        requests: Requests,
        sessions: Sessions,
        configs: Configs,
        takers: Mapping[type, Taker],
        admission: Admission,
        containment: Containment,
        users: BotUsers | None = None,
        offended: Callable[[Member, str], object] = lambda _member, _why: None,
        lend: Callable[[Member, Fetch], int] | None = None,
    ) -> None:
        self._path = path
        self._fleet = fleet
        self._journal = journal
        self._tokens = tokens
        self._config = config
        self._requests = requests
        self._users = users
        self._takers = takers
        self._admission = admission
        self._offended = offended
        self._lend = lend
        self._containment = containment
        self._sessions = sessions
        self._configs = configs
        self._server: asyncio.Server | None = None
        self._bound: tuple[int, int] | None = None
        self._links: dict[str, Link] = {}
        self._connections: Counter[str] = Counter()
        self._crowd_told_at = float("-inf")
        self.on_new: Callable[[Member], None] = lambda _: None
        """Told of a worker that has proved itself for the first time."""

    async def start(self) -> None:
        """Listen. A socket left behind by a dead supervisor is replaced. Raises OSError."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
            self._bound = _place_of(self._path)
            # asyncio accepts as many at once as it is told to let wait; many may wait, few at once keep it turning.
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Link(self), sock=listener, backlog=ACCEPTED_AT_ONCE)
        except BaseException:
            listener.close()
            raise
        listener.listen(BACKLOG)
        self._let_bots_in()

    def is_reachable(self) -> bool:
        """Return whether workers find this socket at its path."""
        return self._server is None or _place_of(self._path) == self._bound

    async def start_again(self) -> None:
        """Listen at the same path anew, since the socket there is gone or another's. Connections stay. Raises OSError.

        Workers look for it by its path, and a new one must find it.
        """
        before = self._server
        await self.start()
        if before is not None:
            before.close()

    def _let_bots_in(self) -> None:
        """Open the socket and its folder to the bots' group, if they have users of their own; to nobody else."""
        if self._users is None:
            self._path.parent.chmod(0o700)
            self._path.chmod(0o600)
            return
        for place, mode in ((self._path.parent, 0o710), (self._path, 0o660)):
            os.chown(place, -1, self._users.fleet_gid)
            place.chmod(mode)

    def close(self, *, for_good: bool) -> None:
        """Stop listening; workers look for the next supervisor. for_good: there are none, so the socket goes too."""
        if self._server is not None:
            self._server.close()
        if for_good:
            self._path.unlink(missing_ok=True)

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        """Send a message to a bot's worker; return False if it is not connected now."""
        link = self._links.get(bot_id)
        return link is not None and link.send(message)

    async def heard_out(self, bot_id: str, generation: int) -> None:
        """Return when all is taken that a worker which has ended sent before, after HEARD_OUT_S at the latest."""
        deadline = time.monotonic() + HEARD_OUT_S
        while (link := self._links.get(bot_id)) is not None and link.generation == generation:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.01)

    def configure(self, member: Member) -> None:
        """Tell a worker what it is held to from now on. One that is away learns it with its next Welcome."""
        self.tell(member.bot.id, Configure(limits_of(member.policy)))

    # Peers -----------------------------------------------------------------------------------------------------------

    def admits(self, link: Link) -> bool:
        """Return whether a peer has not got its share of connections yet; say so now and then, not each time."""
        self._connections[link.peer] += 1
        if self._connections[link.peer] <= MAX_CONNECTIONS:
            return True
        now = time.monotonic()
        if now - self._crowd_told_at >= CROWD_TOLD_EVERY_S:
            self._crowd_told_at = now
            log.warning("control.too_many_connections", stranger=link.peer, allowed=MAX_CONNECTIONS)
        return False

    def lost(self, link: Link) -> None:
        """Forget a connection."""
        self._connections[link.peer] -= 1
        if not self._connections[link.peer]:
            del self._connections[link.peer]
        if link.member is not None and self._links.get(link.member.bot.id) is link:
            del self._links[link.member.bot.id]

    def offended(self, member: Member, why: str) -> None:
        """Have it told that a bot's worker sent what none of ours sends."""
        self._offended(member, why)

    def meet(self, link: Link, hello: Hello) -> None:
        """Let a worker in that proves itself: at once if it has its token already."""
        if self._fleet.awaits(hello.bot_id):
            link.close()  # whether it is the worker that it says it is will be known when its bot is adopted
            return
        member = self._fleet.get(hello.bot_id)
        if member is None or not self._containment.attempt(member.bot, "greeting", self._meet, link, hello, member):
            self._refuse(link, hello, "there is no such bot") if member is None else link.close()

    def fetch(self, link: Link, wanted: Fetch) -> None:
        """Give a worker that proves itself a file of its own, or nothing; the connection ends."""
        member = self._fleet.get(wanted.bot_id)
        try:
            if member is not None and self._lend is not None:
                self._containment.attempt(member.bot, "fetch", self._give, link, wanted, member)
        finally:
            link.close()

    def _give(self, link: Link, wanted: Fetch, member: Member) -> None:
        hello = Hello(VERSION, wanted.bot_id, wanted.generation, wanted.secret, running=True, ready=False)
        why = self._objection(hello, member, link.pid, link.uid)
        try:
            if why or self._lend is None:
                raise PermissionError(why)
            descriptor = self._lend(member, wanted)
            try:
                link.give(descriptor)
            finally:
                os.close(descriptor)
        except OSError as fault:
            log.warning("control.not_given", bot=member.bot.name, what=wanted.what, pid=link.pid, error=str(fault))
        else:
            log.info("control.given", bot=member.bot.name, what=wanted.what)

    def _refuse(self, link: Link, hello: Hello, why: str) -> None:
        bot_id = hello.bot_id[:MAX_ID_CHARS]
        log.warning("control.refused", stranger=link.peer, bot_id=bot_id, generation=hello.generation, why=why)
        link.send(Refused(why))
        link.close()

    def _meet(self, link: Link, hello: Hello, member: Member) -> None:
        why = self._objection(hello, member, link.pid, link.uid)
        if why:
            self._refuse(link, hello, why)
            return
        if not self._admission.may_move(member, ready=hello.ready):
            link.close()
            return
        link.belongs_to(member, hello.generation)
        self._fleet.forked(hello.bot_id, hello.generation, link.pid, None)
        if hello.running:
            self._welcome(link, member, hello, None)  # what it has, it keeps: its process is as it was
            return
        member.met_generation = hello.generation
        self.on_new(member)
        link.hold()
        self._containment.spawn(member.bot, "greeting", self._give_token(link, member, hello))

    async def _give_token(self, link: Link, member: Member, hello: Hello) -> None:
        try:
            given = await self._credentials(member)
        except Exception:
            link.close()
            raise
        welcome = self._welcome
        if given is None or not self._containment.attempt(member.bot, "greeting", welcome, link, member, hello, given):
            link.close()
        elif link.is_open:
            link.go_on()

    def _welcome(self, link: Link, member: Member, hello: Hello, given: Credentials | None) -> None:
        requests = self._requests.limits_of(member.bot.id)
        config = structs.replace(
            self._config,
            limits=limits_of(member.policy),
            requests=requests,
            commands_epoch=member.bot.commands_epoch,
        )
        config = configured(config, *self._configs.welcomes(member, running=hello.running))
        gateway = None if hello.running else self._sessions.gateway(member)
        token, secrets = (None, {}) if given is None else (given.token, dict(given.secrets))
        link.send(Welcome(token, config, gateway, *self._sessions.alone(member), secrets))
        before = self._links.get(hello.bot_id)
        if before is not None:
            before.send(Relieved())  # the one before, if it is sealed
            before.close()  # a worker has one connection; it says Hello anew when it has lost the other
        self._links[hello.bot_id] = link
        self._configs.met(member, hello)
        if hello.ready:
            self._fleet.apply(member, BecameReady(hello.generation))
        elif hello.running:
            # It may have lost its session while no supervisor was there to be told.
            self._fleet.apply(member, LostReady(hello.generation))
        self._fleet.apply(member, Heartbeat(hello.generation))

    def _objection(self, hello: Hello, member: Member, pid: int, uid: int) -> str:
        """Return why this peer is not the worker it says it is, or an empty string."""
        if hello.version != VERSION:
            return f"it speaks protocol {hello.version}, this supervisor {VERSION}"
        own = None if self._users is None else self._users.known(hello.bot_id)
        if uid not in {os.getuid(), own}:
            return "it runs as another user"
        if hello.generation != member.worker.generation:
            return f"generation {member.worker.generation} has replaced it"
        proof = hashlib.sha256(hello.secret).digest()
        if member.secret_hash is None or not hmac.compare_digest(proof, member.secret_hash):
            return "its secret is wrong"
        if member.worker.pid not in {None, pid}:
            return "another process is that worker"
        if member.worker.state not in {State.STARTING, State.RUNNING, State.STOPPING}:
            return "the bot should not run now"
        return ""

    async def _credentials(self, member: Member) -> Credentials | None:
        """Return token and secrets for a worker's first start, or None if it must not start.

        Not before the worker's pid is written down: should this supervisor die now, the next one finds the worker. A
        worker without its token is harmless.
        """
        generation = member.worker.generation
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._journal.safe()
                given = await self._tokens.of(member.bot.id)
        except (FlotillaError, OSError, TimeoutError) as fault:
            code = getattr(fault, "code", "database_unavailable")
            log.error("worker.no_token", bot=member.bot.name, error=str(fault))  # noqa: TRY400 - one line says it
            self._fleet.apply(member, Failed(generation, code if code in _UNREADABLE else "spawn_failed"))
            self._end(member, generation)
            return None
        still_wanted = member.worker.generation == generation and member.worker.state is State.STARTING
        return given if still_wanted else None

    def _end(self, member: Member, generation: int) -> None:
        if member.process is not None and member.worker.generation == generation:
            member.process.terminate()

    def take(self, member: Member, generation: int, message: FromWorker) -> None:
        """Let a worker's message have its effect; what breaks over it is set aside for this bot alone."""
        if isinstance(message, Hello | Fetch):
            raise ProtocolError(f"{type(message).__name__} comes first, and once")
        admitted = self._admission.of(member, message)
        if admitted is not None:
            what = f"message {type(message).__name__}"
            self._containment.attempt(member.bot, what, self._take, member, generation, admitted)

    def _take(self, member: Member, generation: int, message: FromWorker) -> None:
        taker = self._takers.get(type(message))
        if taker is not None:
            taker(member, generation, message)
            return
        match message:
            case Beat():
                self._take_beat(member, generation, message)
            case Ready(resumed):
                log.info("worker.session", bot=member.bot.name, generation=generation, resumed=resumed)
                self._fleet.apply(member, BecameReady(generation))
                self._configs.became_ready(member)
            case NotReady():
                self._fleet.apply(member, LostReady(generation))
            case Failing("killed") if member.worker.state is State.STOPPING or member.worker.generation != generation:
                pass  # it says that it was told to end; so it was, by us
            case Failing(code, detail):
                code = reason_told(code)
                log.error("worker.failing", bot=member.bot.name, generation=generation, reason=code, detail=detail)
                self._fleet.apply(member, Failed(generation, self._configs.cause(member, generation, code, detail)))

    def _take_beat(self, member: Member, generation: int, beat: Beat) -> None:
        if member.worker.generation == generation:
            member.latency_ms = beat.latency_ms
            member.shared_bytes = beat.shared_bytes or 0
            member.heartbeat_at = datetime.now(UTC)
        self._fleet.apply(member, Heartbeat(generation))


def _place_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def configured(fleet: WorkerConfig, bot: BotConfig, version: int) -> WorkerConfig:
    """Return how a worker runs a bot of that config. fleet: how every bot is run, with the extensions of all."""
    return structs.replace(fleet, extensions=bot.loaded(fleet.extensions), bot=bot, version=version)


def limits_of(policy: Policy) -> WorkerLimits:
    """Return what of a bot's policy its worker looks after."""
    return WorkerLimits(
        heartbeat_s=policy.heartbeat_s,
        delivery_probe=policy.delivery_probe,
        delivery_quiet_s=policy.delivery_quiet_s,
        delivery_answer_s=policy.delivery_answer_s,
        response_target_ms=policy.response_target_ms,
        memory_bound_bytes=policy.memory_bound_bytes,
        interaction_guard=policy.interaction_guard,
        interaction_defer_after_ms=policy.interaction_defer_after_ms,
    )
