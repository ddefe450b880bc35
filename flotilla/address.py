"""Where a program listens, and the URL by which it is reached from this host."""

import asyncio
import errno
import ipaddress
import socket
import time
from urllib.parse import quote

from flotilla.errors import SetupError

BACKLOG = 1024
TAKEN_S = 5.0
"""How long an address may still be taken: whoever had it before ends in less."""

LOOK_EVERY_S = 0.1
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def bare_host(host: str) -> str:
    """Return a host as the system's calls want it: without the brackets that IPv6 addresses have in URLs."""
    host = host.strip()
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def url_of(host: str, port: int) -> str:
    """Return the URL that reaches what listens on `host`, from this host.

    An address that stands for all of the host's (`0.0.0.0`, `::`, `0`) is reached at the loopback of its family.
    """
    host = bare_host(host)
    address = _numeric(host)
    if address is None:
        return f"http://{host}:{port}"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified:
        address = ipaddress.ip_address(_LOOPBACK[address.version])
    # A zone's percent sign is escaped in URLs. Source: RFC 6874.
    return f"http://[{quote(str(address), safe=':')}]:{port}" if address.version == 6 else f"http://{address}:{port}"  # noqa: PLR2004 - IPv6


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host`:`port`; on `::` for IPv4 too, where the system can.

    Raises OSError; one without an `errno` of the system's is of the look-up of `host`.
    """
    host = bare_host(host)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of a name with addresses of both families the IPv4 one, as ever; clients try them all.
    family, _, _, _, address = min(found, key=lambda info: info[0] is not socket.AF_INET)
    both = family is socket.AF_INET6 and _takes_ipv4(host) and socket.has_dualstack_ipv6()
    listener = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
    # What it accepts inherits it. asyncio sets it only where it knows the protocol's number, which create_server leaves
    # out, and without it each answer on a kept connection waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def listen_patiently(host: str, port: int, patience_s: float = TAKEN_S) -> socket.socket:
    """Return what `listen` does, once nobody else has the address; tries for `patience_s` seconds.

    Raises SetupError (`port_taken`, `address_unusable`) with the setting to change.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return listen(host, port)
        except OSError as fault:
            if fault.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise why_not(fault, host, port) from fault
        await asyncio.sleep(LOOK_EVERY_S)


def why_not(fault: OSError, host: str, port: int, holder: str = "") -> SetupError:
    """Return what to tell the operator of a failed `listen`. holder: who has the port, if that is known."""
    if fault.errno == errno.EADDRINUSE:
        return SetupError(
            f"Port {port} is taken{holder}. Choose another with FLOTILLA_HTTP_PORT, or end what uses it.",
            code="port_taken",
        )
    return SetupError(
        f"Cannot listen on {host}, port {port} ({fault.strerror or fault}). "
        "Mend FLOTILLA_HTTP_HOST or FLOTILLA_HTTP_PORT.",
        code="address_unusable",
    )


def _takes_ipv4(host: str) -> bool:
    """Return whether an IPv6 address is the one for all, or an IPv4 address in IPv6's notation."""
    address = _numeric(host)
    return isinstance(address, ipaddress.IPv6Address) and (address.is_unspecified or address.ipv4_mapped is not None)


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that `host` is, in any notation that the system takes; None for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return ipaddress.ip_address(found[0][4][0])
    except (OSError, ValueError):
        return None
