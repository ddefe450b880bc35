"""What holds real workers: limits of the kernel, users of their own, and a supervisor that no bot can slow down."""

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flotilla.domain.policy import MIB
from flotilla.protocol import EXIT_OUT_OF_MEMORY, VERSION, FrameDecoder, Hello, Refused, encode, to_worker
from supervisor.cgroups import Cgroups
from tests.stack import Program, Stack, until

EXTENSIONS = "worker_bot.extensions.core,tests.extensions.misbehaving,tests.extensions.hostile"
UID_BASE = 310_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="users of their own need root")


async def use(stack: Stack, name: str, command: str, **options: object) -> str:
    """Use a command of the bot with this name; return what it answered."""
    applications = (await stack.sandbox("GET", "/applications"))["items"]
    (application,) = [item["id"] for item in applications if item["name"] == name]
    path = f"/applications/{application}/interactions"
    answer = await stack.sandbox("POST", path, command=command, options=options, wait_ms=1000)
    return str(answer.get("response"))


def status_of(pid: int | None) -> dict[str, str]:
    """Return /proc/PID/status."""
    return dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))


def limits_of(pid: int | None) -> dict[str, str]:
    """Return the limits in /proc/PID/limits that are the same soft and hard, and the soft data size."""
    text = Path(f"/proc/{pid}/limits").read_text()
    found = dict(re.findall(r"^(Max [a-z ]+?) {2,}(\d+) +\2 ", text, re.MULTILINE))
    return found | dict(re.findall(r"^(Max data size) +(\d+)", text, re.MULTILINE))


def soft_data_limit(pid: int | None) -> int:
    return int(limits_of(pid)["Max data size"])


async def test_worker_has_a_group_of_its_own_and_limits_that_it_cannot_raise(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    supervisor = await stack.start_supervisor(FLOTILLA_BOT_OPEN_FILES="300")
    pid = (await stack.all_ready(1))[bot_id].pid or 0
    assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)
    assert status_of(pid)["NoNewPrivs"] == "1"
    limits = limits_of(pid)
    assert (limits["Max core file size"], limits["Max open files"]) == ("0", "300")
    assert 512 * MIB < soft_data_limit(pid) < 700 * MIB
    await stack.bots.override(bot_id, {"memory_limit_mb": 100})
    await until(lambda: soft_data_limit(pid) < 200 * MIB, "a new limit holds for a live worker")
    await supervisor.end(signal.SIGKILL)
    await stack.start_supervisor(FLOTILLA_MEMORY_LIMIT_MB="800")
    await stack.bots.override(bot_id, {"memory_limit_mb": None})
    await until(lambda: soft_data_limit(pid) > 700 * MIB, "and for one that was adopted")
    assert (await stack.status(bot_id)).pid == pid


async def test_leak_faster_than_the_probe_is_stopped_at_the_limit(stack: Stack) -> None:
    (bot_id,) = await stack.add_bots(1)
    await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS, FLOTILLA_MEMORY_LIMIT_MB="160")
    process = psutil.Process((await stack.all_ready(1))[bot_id].pid)
    leak = asyncio.create_task(use(stack, "bot-0", "leak", megabytes_per_s=4000, how="swallow"))
    peak = 0

    def gone() -> bool:
        nonlocal peak
        try:
            peak = max(peak, process.memory_full_info().uss)
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await until(gone, "the leaking worker is killed")
    assert 100 * MIB < peak <= 168 * MIB
    status = await stack.observed(bot_id, lambda s: s.generation == 2 and s.ready, "it is replaced")
    assert status.failures == 1
    await leak


async def test_worker_that_dies_of_a_memory_error_has_reached_its_limit(stack: Stack) -> None:
    await stack.add_bots(1)
    supervisor = await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS)
    await stack.all_ready(1)
    await use(stack, "bot-0", "leave", code=EXIT_OUT_OF_MEMORY)
    await until(lambda: "reason=memory_limit" in supervisor.text(), "its end has the right reason")


def test_worker_joins_a_real_cgroup_that_goes_with_it() -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2" and os.access(fields[1], os.W_OK)]
    if not roots:
        pytest.skip("no cgroup v2 that may be written to")
    cgroups = Cgroups(roots[0])
    folder = cgroups.folder(f"test{os.getpid()}", 1)
    folder.mkdir()
    code = (
        "from flotilla.protocol import Bounds, Fork; from worker_bot.confinement import confine; "
        f"confine(Fork('id', 'name', 1, b'', '', '', '', Bounds(cgroup={str(folder)!r}))); print('in', flush=True); "
        "input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"in\n"
        assert (folder / "cgroup.procs").read_text().split() == [str(worker.pid)]
        cgroups.sweep()
        assert folder.exists()
        worker.kill()
        worker.wait(10)
    cgroups.remove(f"test{os.getpid()}", 1)
    assert not folder.exists()


async def start_with_users(stack: Stack, **environment: str) -> Program:
    stack.environment |= {"FLOTILLA_BOT_USERS": "own", "FLOTILLA_BOT_UID_BASE": str(UID_BASE)}
    return await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS, **environment)


@as_root
async def test_bot_with_a_user_of_its_own_reaches_no_other_bot_and_no_secret(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    await start_with_users(stack)
    statuses = await stack.all_ready(2)
    victim = statuses[second].pid or 0
    mine = statuses[first].pid or 0
    assert len({status_of(mine)["Uid"], status_of(victim)["Uid"]}) == 2
    # No right of root's, but to read what its walls let it, where only root may enter the folders above the code.
    assert int(status_of(mine)["CapEff"], 16) & ~(1 << 2) == 0
    assert (Path(f"/proc/{mine}") / "environ").stat().st_uid == 0  # not dumpable: its memory is root's
    assert limits_of(mine)["Max processes"] == "256"
    settings = stack.settings
    session = settings.session_file(second)
    assert session.stat().st_uid == UID_BASE + 2
    files = [
        *(settings.home, settings.run_dir, settings.session_dir, session.parent, settings.log_dir),
        *(session, settings.key_file, settings.home / "flotilla.db", settings.log_dir / "bots" / "bot-1.log"),
    ]
    assert all(path.exists() for path in files)
    answer = await use(stack, "bot-0", "pry", paths=":".join(map(str, files)), pid=victim)
    outcomes = dict(re.findall(r"([\w. -]+)=(\w+)", answer))
    assert len(outcomes) == 7 + len(files)
    assert {name: come for name, come in outcomes.items() if come != "PermissionError"} == {}
    assert (await stack.status(second)).pid == victim


@as_root
async def test_bot_with_a_user_of_its_own_is_supervised_like_any_other(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    supervisor = await start_with_users(stack)
    before = await stack.all_ready(2)
    os.kill(before[first].pid or 0, signal.SIGKILL)
    await stack.observed(first, lambda s: s.generation == 2 and s.ready, "the killed bot is READY again")
    assert "resumed=True" in supervisor.text()
    await supervisor.end(signal.SIGKILL)
    successor = await start_with_users(stack)
    await stack.observed(second, lambda s: bool(s.latency_ms), "an adopted bot is heard")
    assert (await stack.status(second)).pid == before[second].pid
    assert "control.refused" not in successor.text()
    assert refused_as(stack, UID_BASE + 1, second) == "it runs as another user"
    removed = (await stack.bots.get(second)).bot
    await stack.bots.remove(second, removed.created_at)
    await until(lambda: not stack.settings.session_file(second).parent.exists(), "its folder is gone")
    third = await stack.add_bot("bot-2")
    status = await stack.observed(third, lambda s: s.ready, "a bot added later is READY")
    assert status_of(status.pid)["Uid"].split()[0] == str(UID_BASE + 3)


def refused_as(stack: Stack, uid: int, bot_id: str) -> str:
    """Say Hello for a bot as another user who may reach the socket, as bots may; return why that is refused."""
    folder = os.open(stack.settings.control_socket.parent, os.O_PATH)
    hello = encode(Hello(VERSION, bot_id, 1, b"x" * 32, running=True, ready=True)).hex()
    code = (
        f"import os, socket; os.setgroups([{UID_BASE}]); os.setresgid({uid}, {uid}, {uid}); "
        f"os.setresuid({uid}, {uid}, {uid}); s = socket.socket(socket.AF_UNIX); "
        f"s.connect('/proc/self/fd/{folder}/control.sock'); s.sendall(bytes.fromhex('{hello}')); "
        "print(s.recv(4096).hex())"
    )
    ended = subprocess.run([sys.executable, "-c", code], pass_fds=[folder], capture_output=True, check=True)
    os.close(folder)
    (body,) = FrameDecoder().feed(bytes.fromhex(ended.stdout.decode()))
    message = to_worker.decode(body)
    assert isinstance(message, Refused)
    return message.why


async def test_bot_that_floods_the_control_socket_slows_down_nobody_else(stack: Stack) -> None:
    _noisy, quiet = await stack.add_bots(2)
    supervisor = await stack.start_supervisor(FLOTILLA_EXTENSIONS=EXTENSIONS)
    await stack.all_ready(2)
    process = psutil.Process(supervisor.pid)
    pid = (await stack.status(quiet)).pid
    for what, sign in (("frames", "control.flooded"), ("connections", "control.too_many_connections")):
        await use(stack, "bot-0", "torrent", what=what)
        await until(lambda sign=sign: sign in supervisor.text(), f"the flood of {what} is told")
    memory_before, cpu_before = process.memory_info().rss, sum(process.cpu_times()[:2])
    await asyncio.sleep(4)  # beyond the liveness timeout: a worker whose heartbeats are not taken does not survive it
    assert sum(process.cpu_times()[:2]) - cpu_before < 4 * 0.5
    assert process.memory_info().rss < memory_before + 16 * MIB
    assert supervisor.text().count("control.too_many_connections") <= 2
    assert (await stack.status(quiet)).pid == pid


def shared_files(pid: int | None) -> dict[tuple[int, int], str]:
    """Return the files by which a process could tell another one something: open, or mapped for all who map them."""
    found = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        status = descriptor.stat()
        if stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            found[status.st_dev, status.st_ino] = str(descriptor.readlink())
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if fields[1].startswith("rw") and fields[1].endswith("s"):
            major, minor = (int(part, 16) for part in fields[3].split(":"))
            found[os.makedev(major, minor), int(fields[4])] = fields[-1]
    return found


async def test_two_bots_have_no_file_in_common(stack: Stack) -> None:
    first, second = await stack.add_bots(2)
    await stack.start_supervisor()
    statuses = await stack.all_ready(2)
    mine, others = shared_files(statuses[first].pid), shared_files(statuses[second].pid)
    assert mine, "each has its session at least"
    assert {name for key, name in mine.items() if key in others} == set()
