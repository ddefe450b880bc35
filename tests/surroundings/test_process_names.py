"""A bot gives its process any name it likes.

A name is bytes: cut inside a character, with brackets or line breaks in it, it is read as what it is, and nothing
depends on it.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import supervisor
from flotilla.processes import start_ticks
from supervisor.processes import catches

AS_TEXT = re.compile(r"/proc/[^\n]*read_text\(|open\([^\n]*/proc/[^\n]*\"r\"")
FIXED = {"/proc/sys/kernel/random/boot_id"}
"""What the kernel alone writes."""

NAMES = {
    "cut inside a character": "é".encode()[:1],
    "brackets": b") R 1 (",
    "line break": b"a\nSigCgt:\tff",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_process_of_any_name_is_known_by_its_start_time(name: bytes) -> None:
    code = f"""
import ctypes, sys
ctypes.CDLL(None).prctl(15, {name!r})
print("named", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"named\n"
        assert start_ticks(process.pid)
        assert not catches(process.pid, signal.SIGUSR1)
        process.stdin.close()


def test_nothing_that_a_process_names_itself_is_read_as_text() -> None:
    """A new read of /proc/PID is of bytes, or by `flotilla.processes`."""
    root = Path(supervisor.__file__).parent.parent
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for program in ("flotilla", "supervisor", "worker_bot", "jobs", "api", "sandbox")
        for path in (root / program).rglob("*.py")
        for line in path.read_text().splitlines()
        if AS_TEXT.search(line) and not any(name in line for name in FIXED)
    ]
    assert found == []
