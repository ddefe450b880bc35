"""The Unix socket where workers meet their supervisor: who may speak, and what each message means."""

import asyncio
import hashlib
import hmac
import os
import socket
import struct
from datetime import UTC, datetime
from pathlib import Path

import structlog
from msgspec import structs

from flotilla.domain.policy import Policy
from flotilla.domain.worker import BecameReady, Failed, Heartbeat, LostReady, State
from flotilla.errors import FlotillaError
from flotilla.ports import FleetStore
from flotilla.protocol import (
    VERSION,
    AskIdentify,
    Beat,
    Configure,
    Failing,
    FrameDecoder,
    FromWorker,
    GatewaySeen,
    Hello,
    IdentifiedAlone,
    NotReady,
    ProtocolError,
    Ready,
    Refused,
    ToWorker,
    Welcome,
    WorkerConfig,
    WorkerLimits,
    encode,
    from_worker,
)
from flotilla.secrets import TokenVault
from supervisor.fleet import Fleet
from supervisor.journal import Journal
from supervisor.member import Member
from supervisor.sessions import Sessions

HELLO_TIMEOUT_S = 5.0
STORE_TIMEOUT_S = 30.0
READ_BYTES = 16 * 1024
BACKLOG = 4096
_PEER = struct.Struct("3i")
log = structlog.get_logger()


class ControlServer:
    """Listens for workers. A peer that does not prove itself is refused, logged, and changes nothing."""

    def __init__(
        self,
        path: Path,
        fleet: Fleet,
        journal: Journal,
        store: FleetStore,
        vault: TokenVault,
        config: WorkerConfig,
        sessions: Sessions,
    ) -> None:
        self._path = path
        self._fleet = fleet
        self._journal = journal
        self._store = store
        self._vault = vault
        self._config = config
        self._sessions = sessions
        self._server: asyncio.Server | None = None
        self._links: dict[str, asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen. A socket left behind by a dead supervisor is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), backlog=BACKLOG)
        self._path.chmod(0o600)

    def close(self) -> None:
        """Stop listening; workers look for the next supervisor."""
        if self._server is not None:
            self._server.close()

    def tell(self, bot_id: str, message: ToWorker) -> bool:
        """Send a message to a bot's worker; return False if it is not connected now."""
        writer = self._links.get(bot_id)
        if writer is None or writer.is_closing():
            return False
        writer.write(encode(message))
        return True

    def configure(self, member: Member) -> None:
        """Tell a worker what it is held to from now on. One that is away learns it with its next Welcome."""
        self.tell(member.bot.id, Configure(limits_of(member.policy)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (OSError, ProtocolError, ValueError, TimeoutError) as fault:
            log.warning("control.dropped", error=f"{type(fault).__name__}: {fault}")
        finally:
            self._links = {bot_id: link for bot_id, link in self._links.items() if link is not writer}
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        member: Member | None = None
        generation = 0
        while True:
            reading = reader.read(READ_BYTES)
            received = await (reading if member else asyncio.wait_for(reading, HELLO_TIMEOUT_S))
            if not received:
                return
            for body in decoder.feed(received):
                message = from_worker.decode(body)
                if member is not None:
                    self._take(member, generation, message)
                elif isinstance(message, Hello):
                    member = await self._meet(message, writer)
                    generation = message.generation
                else:
                    raise ProtocolError("the first message was not Hello")
            if member is None and received and writer.is_closing():
                return

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
        config = structs.replace(self._config, limits=limits_of(member.policy))
        gateway = None if hello.running else self._sessions.gateway(member)
        writer.write(encode(Welcome(token, config, gateway, *self._sessions.alone(member))))
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
        if uid != os.getuid():
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
            await asyncio.wait_for(self._journal.stored(), STORE_TIMEOUT_S)
            encrypted = await asyncio.wait_for(self._store.encrypted_token(member.bot.id), STORE_TIMEOUT_S)
            token = self._vault.decrypt(encrypted)
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
        match message:
            case Beat(latency_ms, shared_bytes):
                if member.worker.generation == generation:
                    member.latency_ms = latency_ms
                    member.shared_bytes = shared_bytes or 0
                    member.heartbeat_at = datetime.now(UTC)
                self._fleet.apply(member, Heartbeat(generation))
            case Ready(resumed):
                log.info("worker.session", bot=member.bot.name, generation=generation, resumed=resumed)
                self._fleet.apply(member, BecameReady(generation))
            case NotReady():
                self._fleet.apply(member, LostReady(generation))
            case Failing(code, detail):
                log.error("worker.failing", bot=member.bot.name, generation=generation, reason=code, detail=detail)
                self._fleet.apply(member, Failed(generation, code))
            case AskIdentify() | IdentifiedAlone() | GatewaySeen():
                self._sessions.take(member, generation, message)
            case Hello():
                raise ProtocolError("Hello comes once")


def limits_of(policy: Policy) -> WorkerLimits:
    """Return what of a bot's policy its worker looks after."""
    return WorkerLimits(
        heartbeat_s=policy.heartbeat_s,
        delivery_probe=policy.delivery_probe,
        delivery_quiet_s=policy.delivery_quiet_s,
        delivery_answer_s=policy.delivery_answer_s,
        response_target_ms=policy.response_target_ms,
    )


def _peer(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Return pid and uid of the peer as the kernel vouches for them (SO_PEERCRED; unix(7))."""
    peer = writer.get_extra_info("socket")
    pid, uid, _gid = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid
