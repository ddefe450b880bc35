"""To which hosts of a request the API answers: a page of a stranger's site must not read it through its own name.

A name of the site's own can be led to this host by whoever runs its DNS (DNS rebinding); an address and a loopback
name cannot, so these are always answered.
"""

import ipaddress
import re
from collections.abc import Collection

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_WITH_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::\d{0,5})?", re.ASCII)


def is_host_name(text: str) -> bool:
    """Return whether `text` is a host's name in lower case as DNS has it, without port and brackets."""
    return _NAME.fullmatch(text) is not None


def answers_to(host: str, names: Collection[str]) -> bool:
    """Return whether a request with this Host header is for us: a name of `names`, a loopback name, or any address.

    host: as it was sent, with its port. names: in lower case.
    """
    match = _WITH_PORT.fullmatch(host.strip().lower())
    name = match["host"].rstrip(".") if match else ""
    return name in names or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError:
        return False
    return True
