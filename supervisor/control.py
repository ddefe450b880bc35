"""The Unix socket where workers meet their supervisor: who may speak, and what each message means."""

import asyncio
import hashlib
import hmac
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from flotilla.domain.policy import Policy
from flotilla.domain.worker import BecameReady, Failed, Heartbeat, LostReady, State
from flotilla.errors import FlotillaError
from flotilla.protocol import (
    VERSION,
    Beat,
    Configure,
    Failing,
    FrameDecoder,
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
    encode,
    from_worker,
)
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.pace import PER_S, Pace
from supervisor.requests import Requests
from supervisor.sessions import Sessions
from supervisor.tokens import Tokens
from supervisor.users import BotUsers

HELLO_TIMEOUT_S = 5.0
STORE_TIMEOUT_S = 30.0
READ_BYTES = 16 * 1024
BACKLOG = 4096
ACCEPTED_AT_ONCE = 64
MAX_CONNECTIONS = 8
"""Of one bot at once: one is in use, others may be on their way out."""

CROWD_TOLD_EVERY_S = 10.0

WRITE_BUFFER_BYTES = 64 * 1024
MIN_PAUSE_S = 0.05
"""Several messages at a time cost a slowed-down peer's supervisor less than each on its own."""

_PEER = struct.Struct("3i")
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
        takers: Mapping[type, Taker],
        users: BotUsers | None = None,
    ) -> None:
        self._path = path
        self._fleet = fleet
        self._journal = journal
        self._tokens = tokens
        self._config = config
        self._requests = requests
        self._users = users
        self._takers = takers
        self._sessions = sessions
        self._server: asyncio.Server | None = None
        self._links: dict[str, asyncio.StreamWriter] = {}
        self._connections: Counter[str] = Counter()
        self._crowd_told_at = float("-inf")

    async def start(self) -> None:
        """Listen. A socket left behind by a dead supervisor is replaced."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        # asyncio accepts as many at once as it is told to let wait; many may wait, few at once keep the loop turning.
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, backlog=ACCEPTED_AT_ONCE)
        listener.listen(BACKLOG)
        self._let_bots_in()

    def _let_bots_in(self) -> None:
        """Open the socket and its folder to the bots' group, if they have users of their own; to nobody else."""
        if self._users is None:
            self._path.parent.chmod(0o700)
            self._path.chmod(0o600)
            return
        for place, mode in ((self._path.parent, 0o710), (self._path, 0o660)):
            os.chown(place, -1, self._users.fleet_gid)
            place.chmod(mode)

    def close(self) -> None:
        """Stop listening; workers look for the next supervisor."""
        if self._server is not None:
            self._server.close()

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        """Send a message to a bot's worker; return False if it is not connected now."""
        writer = self._links.get(bot_id)
        return writer is not None and not writer.is_closing() and _send(writer, message)

    def configure(self, member: Member) -> None:
        """Tell a worker what it is held to from now on. One that is away learns it with its next Welcome."""
        self.tell(member.bot.id, Configure(limits_of(member.policy)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, uid = _peer(writer)
        # Of a bot with a user of its own, all processes together.
        peer = f"process {pid}" if uid == os.getuid() else f"user {uid}"
        self._connections[peer] += 1
        try:
            if not self._is_one_too_many(peer):
                await self._converse(reader, writer)
        except (OSError, ProtocolError, ValueError, TimeoutError) as fault:
            log.warning("control.dropped", error=f"{type(fault).__name__}: {fault}")
        finally:
            self._links = {bot_id: link for bot_id, link in self._links.items() if link is not writer}
            self._connections -= Counter([peer])
            _close(writer)

    def _is_one_too_many(self, peer: str) -> bool:
        """Return whether a peer has its share of connections already; say so now and then, not each time."""
        if self._connections[peer] <= MAX_CONNECTIONS:
            return False
        now = time.monotonic()
        if now - self._crowd_told_at >= CROWD_TOLD_EVERY_S:
            self._crowd_told_at = now
            log.warning("control.too_many_connections", peer=peer, allowed=MAX_CONNECTIONS)
        return True

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        member: Member | None = None
        generation = 0
        pace = Pace(time.monotonic())
        while True:
            reading = reader.read(READ_BYTES)
            received = await (reading if member else asyncio.wait_for(reading, HELLO_TIMEOUT_S))
            if not received:
                return
            for body in decoder.feed(received):
                message = from_worker.decode(body)
                if member is not None:
                    await self._slow_down(pace, member)
                    self._take(member, generation, message)
                elif isinstance(message, Hello):
                    member = await self._meet(message, writer)
                    generation = message.generation
                else:
                    raise ProtocolError("the first message was not Hello")
            if member is None and received and writer.is_closing():
                return

    async def _slow_down(self, pace: Pace, member: Member) -> None:
        """Read no faster than a worker may send: the rest waits in the kernel, at the cost of who sends it."""
        wait_s = pace.take(time.monotonic())
        if wait_s:
            if not pace.exceeded:
                pace.exceeded = True
                log.warning("control.flooded", bot=member.bot.name, pid=member.worker.pid, messages_per_s=PER_S)
            await asyncio.sleep(max(wait_s, MIN_PAUSE_S))

    async def _meet(self, hello: Hello, writer: asyncio.StreamWriter) -> Member | None:
        pid, uid = _peer(writer)
        member = self._fleet.get(hello.bot_id)
        why = self._objection(hello, member, pid, uid)
        if why or member is None:
            log.warning("control.refused", bot_id=hello.bot_id, generation=hello.generation, pid=pid, why=why)
            writer.write(encode(Refused(why)))
            writer.close()
            return None
        self._fleet.forked(hello.bot_id, hello.generation, pid, None)
        token = None if hello.running else await self._token(member)
        if token is None and not hello.running:
            writer.close()
            return None
        requests = self._requests.limits_of(member.bot.id)
        config = structs.replace(self._config, limits=limits_of(member.policy), requests=requests)
        gateway = None if hello.running else self._sessions.gateway(member)
        _send(writer, Welcome(token, config, gateway, *self._sessions.alone(member)))
        before = self._links.get(hello.bot_id)
        if before is not None:
            _send(before, Relieved())  # the one before, if it is sealed
            _close(before)  # a worker has one connection; it says Hello anew when it has lost the other
        self._links[hello.bot_id] = writer
        if hello.ready:
            self._fleet.apply(member, BecameReady(hello.generation))
        elif hello.running:
            # It may have lost its session while no supervisor was there to be told.
            self._fleet.apply(member, LostReady(hello.generation))
        self._fleet.apply(member, Heartbeat(hello.generation))
        return member

    def _objection(self, hello: Hello, member: Member | None, pid: int, uid: int) -> str:
        """Return why this peer is not the worker it says it is, or an empty string."""
        if hello.version != VERSION:
            return f"it speaks protocol {hello.version}, this supervisor {VERSION}"
        own = None if self._users is None else self._users.known(hello.bot_id)
        if uid not in {os.getuid(), own}:
            return "it runs as another user"
        if member is None:
            return "there is no such bot"
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

    async def _token(self, member: Member) -> str | None:
        """Return the token for a worker's first start, or None if it must not start.

        Not before the worker's pid is stored: should this supervisor die now, the next one finds the worker. A worker
        without its token is harmless.
        """
        generation = member.worker.generation
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._journal.stored()
                token = await self._tokens.of(member.bot.id)
        except (FlotillaError, OSError, TimeoutError) as fault:
            code = getattr(fault, "code", "database_unavailable")
            log.error("worker.no_token", bot=member.bot.name, error=str(fault))  # noqa: TRY400 - one line says it
            self._fleet.apply(member, Failed(generation, code if code == "token_unreadable" else "spawn_failed"))
            self._end(member, generation)
            return None
        still_wanted = member.worker.generation == generation and member.worker.state is State.STARTING
        return token if still_wanted else None

    def _end(self, member: Member, generation: int) -> None:
        if member.process is not None and member.worker.generation == generation:
            member.process.terminate()

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
            case NotReady():
                self._fleet.apply(member, LostReady(generation))
            case Failing(code, detail):
                log.error("worker.failing", bot=member.bot.name, generation=generation, reason=code, detail=detail)
                self._fleet.apply(member, Failed(generation, code))
            case Hello():
                raise ProtocolError("Hello comes once")

    def _take_beat(self, member: Member, generation: int, beat: Beat) -> None:
        if member.worker.generation == generation:
            member.latency_ms = beat.latency_ms
            member.shared_bytes = beat.shared_bytes or 0
            member.heartbeat_at = datetime.now(UTC)
        self._fleet.apply(member, Heartbeat(generation))


def limits_of(policy: Policy) -> WorkerLimits:
    """Return what of a bot's policy its worker looks after."""
    return WorkerLimits(
        heartbeat_s=policy.heartbeat_s,
        delivery_probe=policy.delivery_probe,
        delivery_quiet_s=policy.delivery_quiet_s,
        delivery_answer_s=policy.delivery_answer_s,
        response_target_ms=policy.response_target_ms,
        memory_bound_bytes=policy.memory_bound_bytes,
    )


def _send(writer: asyncio.StreamWriter, message: ToWorker) -> bool:
    """Send a message; give a peer up that does not read what it was sent before, and return False."""
    if writer.transport.get_write_buffer_size() > WRITE_BUFFER_BYTES:
        log.warning("control.peer_does_not_read", pid=_peer(writer)[0])
        writer.transport.abort()
        return False
    writer.write(encode(message))
    return True


def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection without waiting for a peer that does not read."""
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    writer.close()


def _peer(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Return pid and uid of the peer as the kernel vouches for them (SO_PEERCRED; unix(7))."""
    peer = writer.get_extra_info("socket")
    pid, uid, _gid = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid
