"""Stopped means gone, whatever a bot's processes do to outlive it.

Tried as root with a user for each bot, as root without, and as an ordinary user: a crash, a crash together with the
supervisor's, a stop, and everything's end after the fork server was killed. Nobody else's process is touched.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from flotilla.botlog import log_file
from flotilla.domain.bots import Desired
from flotilla.domain.worker import State
from flotilla.mark import worn_by
from flotilla.processes import command_line
from tests.stack import Program, Stack, alive, until

EXTENSION = "tests.extensions.clinging"
ORDINARY = 65_533
ROOT = os.geteuid() == 0
CAP_DAC_READ_SEARCH, CAPABILITY_VERSION = 2, 0x20080522
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
"""Source: linux/capability.h, linux/prctl.h."""

needs_root = pytest.mark.skipif(not ROOT, reason="only root can run programs as root")
MODES = [
    pytest.param("root-with-users", marks=needs_root),
    pytest.param("root", marks=[needs_root, pytest.mark.nightly]),
    "ordinary-user",
]


def become_ordinary() -> None:
    """Be an ordinary user who may read all files, for Python and this code may lie in a folder of root's alone."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(ORDINARY, ORDINARY, ORDINARY)
    os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    capabilities = (ctypes.c_uint32 * 6)(*[1 << CAP_DAC_READ_SEARCH] * 3, 0, 0, 0)
    libc.capset(header, capabilities)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def stack(mode: str) -> AsyncIterator[Stack]:
    """A home in a place that an ordinary user can reach, and programs that run in this mode."""
    home = Path(tempfile.mkdtemp(prefix="h"))
    settings = {"bot_users": "shared"} if mode == "root" else {}
    stack = await Stack.create(home, poll_interval_s="0.1", stop_grace_s="5", extensions=EXTENSION, **settings)
    if mode == "ordinary-user" and ROOT:
        subprocess.run(["chown", "-R", f"{ORDINARY}:{ORDINARY}", home], check=True)  # noqa: ASYNC221
        stack.before_exec = become_ordinary
    try:
        await stack.start_sandbox()
        yield stack
    finally:
        await stack.close()
        shutil.rmtree(home, ignore_errors=True)


class Clinging:
    """A bot of `tests.extensions.clinging`, and its log, which its processes hold."""

    def __init__(self, stack: Stack, *kinds: str) -> None:
        self.kinds = kinds
        self.name = "-".join(("cling", *kinds, secrets.token_hex(3)))
        self.file = log_file(stack.settings.log_dir, self.name)
        self.bot_id = ""

    def said(self, word: str) -> int:
        return self.file.read_text().splitlines().count(word) if self.file.exists() else 0

    def live(self) -> bool:
        if not self.file.exists():
            return False
        with self.file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    async def cling(self, times: int) -> None:
        """Wait until all of its processes were started so often."""
        await until(lambda: all(self.said(kind) == times for kind in self.kinds), f"{self.name} clings again")

    def pids(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self.file in [link.readlink() for link in (entry / "fd").iterdir()]:
                    found.append(int(entry.name))
        return found


@pytest.fixture
def bots(stack: Stack) -> Iterator[tuple[Clinging, Clinging, Clinging]]:
    """Three of them; the first spoils the mark of its processes."""
    made = (
        Clinging(stack, "spoiled", "daemon"),
        Clinging(stack, "daemon", "leaderless", "quick", "paired"),
        Clinging(stack, "daemon", "quick"),
    )
    yield made
    for bot in made:
        for _ in range(50):
            pids = bot.pids()
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            if not pids and not bot.live():
                break


def limit(limits: list[tuple[int, int]]) -> None:
    for kind, number in limits:
        resource.setrlimit(kind, (number, number))


@pytest.fixture
def strangers(mode: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of the user that the bots run as, which are not the fleet's; one has limits like a spoiled mark."""
    user = ORDINARY if mode == "ordinary-user" and ROOT else os.geteuid()
    limited = [(10, 54_321), (resource.RLIMIT_RSS, 54_321)]
    started = [
        subprocess.Popen(
            ["sleep", "36065"],
            user=user,
            group=user,
            cwd="/",
            start_new_session=True,
            preexec_fn=partial(limit, limits),  # noqa: PLW1509
        )
        for limits in ([], limited)
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


async def test_nothing_outlives_its_bot_and_nobody_else_is_hit(
    stack: Stack, mode: str, bots: tuple[Clinging, Clinging, Clinging], strangers: list[subprocess.Popen[bytes]]
) -> None:
    spoiler, bot, neighbour = bots
    for each in bots:
        each.bot_id = await stack.add_bot(each.name)
    supervisor = await stack.start_supervisor()
    pids = {bot_id: status.pid or 0 for bot_id, status in (await stack.all_ready(3)).items()}
    for each in bots:
        await each.cling(1)
    (daemon,) = [pid for pid in neighbour.pids() if command_line(pid).endswith(b"\0" + b"36062\0")]
    assert worn_by(daemon).worker == worn_by(pids[neighbour.bot_id]).worker is not None
    for pid in (supervisor.pid, *fork_servers(supervisor), *pids.values()):
        require_private(pid, mode)
    assert limits(daemon)["Max file size"] == [str(stack.settings.bot_file_mb * 2**20)] * 2

    for each in (spoiler, bot):
        os.kill(pids[each.bot_id], signal.SIGKILL)
    for each in (spoiler, bot):
        await each.cling(2)
        assert each.said("beside") == 0, "nothing lives on beside the next one"

    await stack.bots.want(spoiler.bot_id, Desired.STOPPED)
    await stack.observed(spoiler.bot_id, lambda status: status.state is State.STOPPED, "it is stopped")
    assert not spoiler.live(), "stopped means gone"

    crashed = (await stack.status(bot.bot_id)).pid or 0
    supervisor.process.kill()
    os.kill(crashed, signal.SIGKILL)
    await supervisor.process.wait()
    supervisor = await stack.start_supervisor()
    await bot.cling(3)
    assert bot.said("beside") == 0, "nor does the next supervisor let it live on"

    await stack.bots.want(bot.bot_id, Desired.STOPPED)
    await stack.observed(bot.bot_id, lambda status: status.state is State.STOPPED, "it is stopped")
    assert not bot.live(), "stopped means gone"
    assert neighbour.live()
    assert all(map(alive, [daemon, pids[neighbour.bot_id]])), "of this bot alone"

    for pid in fork_servers(supervisor):
        os.kill(pid, signal.SIGKILL)
    assert await supervisor.end(signal.SIGINT) == 0
    assert not neighbour.live(), "down means gone, though nobody is left who forked it"
    assert [process.poll() for process in strangers] == [None, None]


def require_private(pid: int, mode: str) -> None:
    """Fail unless a process makes files for its user alone, dumps no core, and shows its memory to nobody."""
    assert b"\nUmask:\t0077\n" in Path(f"/proc/{pid}/status").read_bytes()
    assert limits(pid)["Max core file size"] == ["0", "0"]
    if mode == "ordinary-user":  # proc(5): what is not dumpable belongs to root there
        assert Path(f"/proc/{pid}/limits").stat().st_uid == 0


def limits(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def fork_servers(supervisor: Program) -> list[int]:
    children = psutil.Process(supervisor.pid).children()
    return [child.pid for child in children if child.cmdline()[:1] == ["flotilla: fork server"]]
