import subprocess
import sys

import pytest

SCRIPT = """
import gc
from worker_bot import memory

keep = [[str(number) * 3 for number in range(100)] for _ in range(500)]
for row in keep:
    del row[::2]
before = sum(size * free for size, free in memory._free_blocks())
filled = memory.fill_holes()
after = sum(size * free for size, free in memory._free_blocks())
memory.freeze()
print(before, filled, after, gc.isenabled(), gc.get_freeze_count() > 1000)
"""


def test_holes_between_live_objects_are_filled_and_what_lives_is_frozen() -> None:
    """In a process of its own: the test runner's memory must not be frozen."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    before, filled, after, enabled, frozen = run.stdout.split()
    assert int(before) > 500_000
    assert int(filled) > 0.9 * int(before)
    assert int(after) < 0.5 * int(before)
    assert (enabled, frozen) == ("False", "True")
    assert run.stderr == ""


HEAP = """
import ctypes
from worker_bot import memory

keep = [bytes(3000) for _ in range(2000)]
del keep[::2]
filled = memory.fill_heap()
print(filled, memory.fill_heap(), hasattr(ctypes.CDLL(None), "mallinfo2"))
memory.ctypes.CDLL = lambda _: object()
print(memory.fill_heap())
"""


def test_holes_that_the_c_library_has_are_filled_too() -> None:
    run = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True, timeout=60)
    filled, again, is_glibc, elsewhere = run.stdout.split()
    assert elsewhere == "0"
    if is_glibc == "False":
        pytest.skip("this C library does not say what it has free")
    assert int(filled) > 0.9 * 1000 * 3000
    assert int(again) < 0.1 * int(filled)


MERGE = """
import os
from worker_bot import memory

merging = memory.merge_identical_pages()
pid = os.fork()
if pid == 0:
    told = open("/proc/self/ksm_stat").read() if os.path.exists("/proc/self/ksm_stat") else ""
    print(merging, "ksm_merge_any: yes" in told, bool(told), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_workers_inherit_that_their_identical_pages_are_merged() -> None:
    run = subprocess.run([sys.executable, "-c", MERGE], capture_output=True, text=True, check=True, timeout=60)
    merging, inherited, told = run.stdout.split()
    if merging == "False" or told == "False":
        pytest.skip("this kernel merges no pages, does not say so, or this is not root")
    assert inherited == "True"
