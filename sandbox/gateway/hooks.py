"""Where faults may interfere with a connection. The gateway works without any; `sandbox.faults` fills the hooks."""

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from sandbox.gateway.connection import Connection


Refusal = Literal["", "end", "spare"]
"""Empty: it is not refused. `end`: the session is gone. `spare`: a connection that has it keeps it."""


class Hooks(Protocol):
    """Asked at the moments at which Discord itself can fail. Each question is one occasion: ask once."""

    def refuses_connection(self, application_id: str | None) -> bool:
        """Return whether the gateway cannot be reached; None before the client has said who it is."""

    def refuses_resume(self, application_id: str) -> Refusal:
        """Return whether a RESUME is answered with op 9, and what becomes of its session."""

    def revokes_intents(self, application_id: str) -> bool:
        """Return whether privileged intents are refused with 4014."""

    def attached(self, connection: "Connection") -> None:
        """Note that a connection has identified or resumed."""


class NoHooks:
    """Nothing fails."""

    def refuses_connection(self, application_id: str | None) -> bool:  # noqa: ARG002 - the protocol's shape
        """Return False."""
        return False

    def refuses_resume(self, application_id: str) -> Refusal:  # noqa: ARG002 - the protocol's shape
        """Refuse none."""
        return ""

    def revokes_intents(self, application_id: str) -> bool:  # noqa: ARG002 - the protocol's shape
        """Return False."""
        return False

    def attached(self, connection: "Connection") -> None:
        """Do nothing."""
