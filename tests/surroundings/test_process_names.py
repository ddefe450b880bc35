"""A bot gives its process any name it likes.

A name is bytes: cut inside a character, with brackets or line breaks in it, it is read as what it is, and nothing
depends on it.
"""

import signal
import subprocess
import sys

import pytest

from supervisor.processes import catches, start_ticks

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
