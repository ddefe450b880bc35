import subprocess
import sys

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
