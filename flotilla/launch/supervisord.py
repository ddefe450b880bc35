"""supervisord's XML-RPC over its Unix socket: who runs, stop or start one program, and 'stop everything'."""

import base64
import contextlib
import http
import http.client
import socket
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flotilla.errors import RetryError, SetupError
from flotilla.local_keys import supervisord_key

TIMEOUT_S = 3.0
USER = "flotilla"
KEY_NAME = "supervisord.key"
GROUP = "fleet"
FINAL_EXIT = 78
"""A wrong setting, in every program (`exitcodes` in supervisord.conf). Source: sysexits.h, EX_CONFIG."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program as supervisord sees it. pid: None when it does not run. exit_status: of its last run."""

    name: str
    state: str
    pid: int | None
    exit_status: int
    detail: str
    group: str

    @property
    def given_up(self) -> bool:
        """Whether supervisord will not start it again by itself: any other exit is followed by a new start."""
        return self.state == "FATAL" or (self.state == "EXITED" and self.exit_status == FINAL_EXIT)


class Supervisord:
    """The supervisord behind a socket. Each call raises RetryError (`supervisord_away`) if nothing answers there."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def pid(self) -> int | None:
        """Return supervisord's pid, or None if none runs behind the socket.

        One that is shutting down answers every question with a refusal; it is told as pid 0.
        """
        try:
            return int(self._call("supervisor.getPID"))
        except xmlrpc.client.Fault:
            return 0
        except RetryError:
            return None

    def programs(self) -> list[Program]:
        """Return every program, in the order of supervisord.conf; none while it is shutting down."""
        try:
            rows = self._call("supervisor.getAllProcessInfo")
        except xmlrpc.client.Fault:
            return []
        return [
            Program(
                row["name"], row["statename"], row["pid"] or None, row["exitstatus"], row["description"], row["group"]
            )
            for row in rows
        ]

    def shutdown(self) -> None:
        """Ask it to stop every program and end. One that is at it already is left to it."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("supervisor.shutdown")

    def stop(self, program: str, group: str = GROUP) -> None:
        """Ask it to stop one of our programs; return at once. One that does not run is left as it is."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("supervisor.stopProcess", f"{group}:{program}", False)

    def start(self, program: str, group: str = GROUP) -> None:
        """Ask it to start one of our programs; return at once. One that runs is left as it is."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("supervisor.startProcess", f"{group}:{program}", False)

    def signal(self, program: str, name: str, group: str = GROUP) -> bool:
        """Have it send a signal (`USR2`) to one of our programs; return False if that does not run."""
        try:
            self._call("supervisor.signalProcess", f"{group}:{program}", name)
        except xmlrpc.client.Fault:
            return False
        return True

    def stop_group(self, group: str) -> None:
        """Ask it to stop every program of a group; return at once."""
        self._call("supervisor.stopProcessGroup", group, False)

    def changed_groups(self) -> list[str]:
        """Have it read supervisord.conf anew; return the groups whose programs are to run otherwise than they do.

        Raises SetupError (`supervisord_conf_refused`) when it cannot, and then it goes on as it was.
        """
        try:
            ((_added, changed, _removed),) = self._call("supervisor.reloadConfig")
        except xmlrpc.client.Fault as fault:
            raise SetupError(
                f"supervisord cannot take the new supervisord.conf while it runs ({fault.faultString}). "
                "Run `flotilla down`, then `flotilla up`.",
                code="supervisord_conf_refused",
            ) from fault
        return [str(name) for name in changed]

    def renew_group(self, group: str) -> None:
        """Have a stopped group run as `changed_groups` read it; its programs start."""
        self._call("supervisor.removeProcessGroup", group)
        self._call("supervisor.addProcessGroup", group)

    def _call(self, method: str, *arguments: str | bool) -> Any:  # noqa: ANN401 - XML-RPC answers are of any type
        connection = _UnixConnection(self._socket_path)
        try:
            headers = {"content-type": "text/xml", **self._proof()}
            connection.request("POST", "/RPC2", xmlrpc.client.dumps(arguments, method), headers)
            response = connection.getresponse()
            answer = response.read()
        except (http.client.HTTPException, OSError) as fault:
            raise RetryError("supervisord does not answer on its socket.", code="supervisord_away") from fault
        finally:
            connection.close()
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            raise RetryError(
                f"supervisord was started with another key than the home's {KEY_NAME} has. End it with SIGTERM, then "
                "run `flotilla up`.",
                code="supervisord_away",
            )
        (result,), _ = xmlrpc.client.loads(answer)
        return result

    def _proof(self) -> dict[str, str]:
        """Return the header that shows the home's key. Raises OSError."""
        key = supervisord_key(self._socket_path.parent.parent / KEY_NAME)
        return {"authorization": "Basic " + base64.b64encode(f"{USER}:{key}".encode()).decode()} if key else {}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; httpx can do that too, but leaks the socket when nobody listens."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))
