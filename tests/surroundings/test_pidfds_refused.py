"""A kernel or a container refuses pidfds.

As old kernels and strict seccomp profiles do. That says nothing about the bots: they run, are adopted, and are seen to
end half a second later than else.
"""

import errno
import os
import signal

import pytest

from tests.refusals import PIDFD_OPEN, PIDFD_SEND_SIGNAL, refuse_calls
from tests.stack import Stack, alive, until


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM], ids=["old kernel", "seccomp profile"])
async def test_bots_run_are_adopted_are_restarted_and_stop_without_any_pidfd(stack: Stack, error: int) -> None:
    stack.before_exec = refuse_calls(PIDFD_OPEN, PIDFD_SEND_SIGNAL, error=error)
    one, other = await stack.add_bots(2)
    supervisor = await stack.start_supervisor()
    before = await stack.all_ready(2)
    os.kill(before[one].pid or 0, signal.SIGKILL)
    await stack.observed(one, lambda s: s.generation == 2 and s.ready, "its end is seen")
    await supervisor.end(signal.SIGKILL)
    second = await stack.start_supervisor()
    await until(lambda: "supervisor.adoption_complete" in second.text(), "the workers are adopted")
    statuses = await stack.all_ready(2)
    assert (statuses[other].generation, statuses[other].pid) == (1, before[other].pid)
    assert statuses[one].generation == 2
    await second.end(signal.SIGINT)
    assert not any(alive(status.pid) for status in statuses.values())
