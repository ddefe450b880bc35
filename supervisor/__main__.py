"""`python -m supervisor`: starts the fork server, and while that warms up, everything else."""

import sys

from supervisor.zygote import ForkServerProcess

if __name__ == "__main__":
    fork_server = ForkServerProcess.spawn()
    from supervisor.program import run  # imported here, since these imports take as long as the warm-up

    sys.exit(run(fork_server))
