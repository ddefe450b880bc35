"""Faults of the gateway: strikes the connections when the book says so, and answers the gateway's hooks."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from functools import singledispatchmethod

from sandbox.faults import kinds
from sandbox.faults.book import Entry, FaultBook, Moment
from sandbox.gateway import codes
from sandbox.gateway.connection import Connection
from sandbox.gateway.hooks import Refusal
from sandbox.gateway.session import PRIVILEGED_INTENTS, Deafness
from sandbox.local_discord import LocalDiscord


class GatewayFaults:
    """The gateway's hooks, and the timer that brings each fault to its moment. One timer for all faults."""

    def __init__(self, book: FaultBook, discord: LocalDiscord) -> None:
        self._book = book
        self._discord = discord
        self._timer: asyncio.TimerHandle | None = None
        self.connections: Callable[[], Iterable[Connection]] = tuple
        """The connections that have identified or resumed, oldest first."""

    def refuses_connection(self, application_id: str | None) -> bool:
        """Return whether the gateway cannot be reached."""
        # A fault for all is decided when the client connects, one for some when it says who it is.
        standing = self._standing(kinds.RefuseConnections, application_id)
        general = [entry for entry in standing if (entry.fault.applications is None) == (application_id is None)]
        return any(entry.hits_next(application_id) for entry in general)

    def refuses_resume(self, application_id: str) -> Refusal:
        """Return whether a RESUME is answered with op 9, and what becomes of its session."""
        for entry, fault in list(self._book.standing(kinds.RefuseResume, application_id, self._discord.clock())):
            if entry.hits_next(application_id):
                return "spare" if fault.spare else "end"
        return ""

    def revokes_intents(self, application_id: str) -> bool:
        """Return whether privileged intents are refused with 4014."""
        return any(entry.hits_next(application_id) for entry in self._standing(kinds.IntentsRevoked, application_id))

    def attached(self, connection: Connection) -> None:
        """Let the faults that stand strike a connection that has just identified or resumed."""
        now = self._discord.clock()
        for entry, _ in list(self._book.standing(kinds.NoAcks, connection.application_id, now)):
            if entry.hits_next(connection.application_id):
                connection.unacknowledged_by.add(entry.id)
        for entry, fault in list(self._book.standing(kinds.SlowFrames, connection.application_id, now)):
            if entry.hits_next(connection.application_id):
                connection.pace(entry.id, fault.bytes_per_s)

    def advance(self) -> None:
        """Carry out what is due, and set the timer for what comes next. Call it whenever the book has changed."""
        for entry, moment in self._book.advance(self._discord.clock()):
            if moment is Moment.STRIKE:
                self.strike(entry.fault, entry)
            else:
                self.mend(entry)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_at = self._book.due_at()
        if due_at < float("inf"):
            delay_s = max(0.0, due_at - self._discord.clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.advance)

    def stop(self) -> None:
        """Let nothing strike any more."""
        if self._timer is not None:
            self._timer.cancel()

    def mend(self, entry: Entry) -> None:
        """Undo what a fault left behind, once it is over or removed."""
        for connection in self.connections():
            connection.unacknowledged_by.discard(entry.id)
            connection.pace(entry.id, None)
        for session in self._discord.sessions.everyone():
            if session.deafness is not None and session.deafness.fault_id == entry.id:
                session.deafness = None

    def _standing(self, kind: type[kinds.Fault], application_id: str | None) -> list[Entry]:
        return [entry for entry, _ in self._book.standing(kind, application_id, self._discord.clock())]

    def _hit(self, entry: Entry, candidates: Iterable[Connection] | None = None) -> list[Connection]:
        """Return the connections a wave strikes; each application's connections draw in the order of their age."""
        nth: Counter[str | None] = Counter()
        hit = []
        for connection in list(self.connections() if candidates is None else candidates):
            application_id = connection.application_id
            if entry.fault.concerns(application_id):
                if entry.hits(application_id, nth[application_id]):
                    hit.append(connection)
                nth[application_id] += 1
        return hit

    @singledispatchmethod
    def strike(self, fault: kinds.Fault, entry: Entry) -> None:
        """Let one wave of a fault strike. Faults that only answer hooks or requests do nothing here."""

    @strike.register
    def _(self, _: kinds.Drop, entry: Entry) -> None:
        for connection in self._hit(entry):
            connection.drop(reset=True)

    @strike.register
    def _(self, _: kinds.HalfOpen, entry: Entry) -> None:
        for connection in self._hit(entry):
            connection.fall_silent()

    @strike.register
    def _(self, _: kinds.Reconnect, entry: Entry) -> None:
        for connection in self._hit(entry):
            connection.request_reconnect()

    @strike.register
    def _(self, fault: kinds.InvalidSession, entry: Entry) -> None:
        for connection in self._hit(entry):
            connection.invalidate(resumable=fault.resumable)

    @strike.register
    def _(self, fault: kinds.CloseWith, entry: Entry) -> None:
        for connection in self._hit(entry):
            connection.close(fault.code)

    @strike.register
    def _(self, _: kinds.TruncatedFrame, entry: Entry) -> None:
        for connection in self._hit(entry):
            connection.truncate()

    @strike.register
    def _(self, fault: kinds.Deaf, entry: Entry) -> None:
        for connection in self._hit(entry):
            if connection.session is not None:
                connection.session.deafness = Deafness(entry.id, fault.keep, fault.heals_on == "resume")

    @strike.register
    def _(self, _: kinds.TokenReset, entry: Entry) -> None:
        for application in list(self._discord.world):
            if entry.fault.concerns(application.id) and entry.hits(application.id, 0):
                self._discord.revoke(application)

    @strike.register
    def _(self, _: kinds.NoAcks, entry: Entry) -> None:
        for connection in list(self.connections()):
            if entry.fault.concerns(connection.application_id) and entry.hits_next(connection.application_id):
                connection.unacknowledged_by.add(entry.id)

    @strike.register
    def _(self, fault: kinds.SlowFrames, entry: Entry) -> None:
        for connection in list(self.connections()):
            if entry.fault.concerns(connection.application_id) and entry.hits_next(connection.application_id):
                connection.pace(entry.id, fault.bytes_per_s)

    @strike.register
    def _(self, _: kinds.IntentsRevoked, entry: Entry) -> None:
        privileged = [c for c in self.connections() if c.session and c.session.intents & PRIVILEGED_INTENTS]
        for connection in self._hit(entry, privileged):
            connection.close(codes.DISALLOWED_INTENTS)
