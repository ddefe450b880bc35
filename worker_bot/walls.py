"""The walls around a worker: what it can still reach once Landlock holds it, put together at its start.

Rules hold what is there when they are made, so they are made anew for each worker: an upgrade may have put other
folders in the place of those that were. The fork server begins them, which costs it a third of what it would cost its
child, whose memory is still shared.
"""

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flotilla.landlock import APPEND, DEVICE, OWN, READ, RUN, RUN_FILE, UNLISTED, Ruleset
from flotilla.protocol import Walls

_SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"),
    # Where /etc/resolv.conf leads to: its folder, since the file is replaced.
    *("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd"),
)
_ETC: Final = tuple(
    f"/etc/{name}"
    for name in (
        *("alternatives", "ca-certificates", "crypto-policies", "fonts", "gai.conf", "group", "host.conf", "hostname"),
        *("hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.conf", "localtime", "machine-id"),
        *("magic", "mime.types", "nsswitch.conf", "os-release", "passwd", "pki/ca-trust/extracted", "pki/tls/cert.pem"),
        *("pki/tls/certs", "pki/tls/openssl.cnf", "protocols", "resolv.conf", "services", "ssl/cert.pem", "ssl/certs"),
        *("ssl/openssl.cnf", "static", "terminfo", "timezone", "xdg"),
    )
)
"""What programs read there and anybody may: for workers whose rights reach what not everybody may read."""

_KERNEL: Final = ("/proc", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage")
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - POSIX shared memory and semaphores lie there and nowhere else
_NAMED_BY: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TZDIR")
_DNS_PORT: Final = 53


@dataclass(frozen=True, slots=True)
class Plan:
    """Where code and system lie. whole: what may be read, and which rights that is; parts: but for what is closed."""

    whole: tuple[tuple[str, int], ...]
    parts: tuple[tuple[str, tuple[str, ...]], ...]


@functools.lru_cache(maxsize=4)
def plan(walls: Walls, *, strict: bool) -> Plan:
    """Return what workers of this process may read. strict: as for `begin`. Takes a millisecond, and once."""
    closed = [os.path.realpath(path) for path in walls.closed]
    readable = [*_SYSTEM, *(_ETC if strict else ("/etc",)), *_code(), *walls.read]
    whole, parts = [], []
    for place in dict.fromkeys(os.path.realpath(path) for path in readable):
        within = tuple(path for path in closed if path == place or path.startswith(place.rstrip("/") + "/"))
        if within:
            parts.append((place, within))
        elif os.path.exists(place):  # noqa: PTH110 - a string for the kernel
            whole.append(place)
    outer = set(whole)
    found = [path for path in whole if not _is_below(path, outer)]
    return Plan(tuple((path, RUN if os.path.isdir(path) else RUN_FILE) for path in found), tuple(parts))  # noqa: PTH112


def begin(walls: Walls, *, strict: bool) -> Ruleset:
    """Return the rules that all workers have in common, for one worker. Raises OSError.

    strict: its rights reach files that not everybody may read, so of /etc it gets only what anybody may.
    """
    ruleset = Ruleset(walls.abi, connect=walls.connect is not None)
    try:
        found = plan(walls, strict=strict)
        for path, access in found.whole:
            ruleset.allow(path, access)
        for place, closed in found.parts:
            for path in around(place, closed):
                ruleset.allow(path, RUN)
        for path in _KERNEL:
            ruleset.allow(path, READ)
        for path in _DEVICES:
            ruleset.allow(path, DEVICE)
        # Names there are drawn at random; nobody may list those of others.
        ruleset.allow(_SHARED_MEMORY, UNLISTED)
        for path in walls.write:
            ruleset.allow(path, OWN)
        connect = () if walls.connect is None else {_DNS_PORT, *walls.connect}
        ruleset.allow_ports(listen={0, *walls.listen}, connect=connect)
    except BaseException:
        ruleset.close()
        raise
    return ruleset


def complete(ruleset: Ruleset, own: Iterable[str], log_path: str) -> None:
    """Add what is one bot's alone: its folders and its log. Raises OSError."""
    for path in own:
        ruleset.allow(path, OWN)
    ruleset.allow(log_path, APPEND)


def _is_below(path: str, places: set[str]) -> bool:
    parent = os.path.dirname(path)  # noqa: PTH120 - a string for the kernel
    while parent != path:
        if parent in places:
            return True
        path, parent = parent, os.path.dirname(parent)  # noqa: PTH120
    return False


def around(place: str, closed: Iterable[str]) -> Iterator[str]:
    """Yield what makes up `place` without what is closed: itself if nothing of that lies in it.

    Else what lies beside the way to it, but nothing hidden: a checkout around a home has its history and secrets there.
    What is asked for within something closed, by a path of its own, is given.
    """
    within = [path for path in closed if path == place or path.startswith(place.rstrip("/") + "/")]
    if not within:
        yield place
        return
    if place in within or place == "/":
        return
    try:
        entries = sorted(os.listdir(place))  # noqa: PTH208 - a hundred times at each start
    except OSError:
        return
    for name in entries:
        if not name.startswith("."):
            yield from around(os.path.join(place, name), within)  # noqa: PTH118 - a hundred times at each start


def _code() -> Iterator[str]:
    """Yield where Python, its packages and the bots' code lie, and what the environment names of certificates."""
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix)
    yield from (entry for entry in sys.path if Path(entry).is_absolute())
    yield from (value for name in _NAMED_BY if (value := os.environ.get(name)))
