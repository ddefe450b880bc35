"""`python clingers.py KIND…`: processes that do all they can to outlive whoever started them.

Each writes its kind to stdout, a file, and has a lock of it with the others, which ends when the last of them is dead.
"""

import ctypes
import fcntl
import os
import resource
import signal
import sys
import threading
import time

RLIMIT_LOCKS = 10
SYS_EXIT = {"x86_64": 60, "aarch64": 93}


def daemon() -> None:
    """Have no parent, no session, no environment, no folder and no name of the bot's, and heed nothing."""
    os.execv("/bin/sleep", ["[kworker/0:1]", "36062"])


def spoiled() -> None:
    """Take off what the kernel lets one take off."""
    for kind in (RLIMIT_LOCKS, resource.RLIMIT_RSS, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (12_345, 12_345))
    time.sleep(36063)


def leaderless() -> None:
    """Look like a zombie: the first thread has ended, another one runs."""
    threading.Thread(target=time.sleep, args=(36064,)).start()
    ctypes.CDLL(None).syscall(SYS_EXIT[os.uname().machine], 0)


def quick() -> None:
    """Be another process, of another session, before anybody can look twice."""
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()


def paired() -> None:
    """Be two, each of which makes the other anew."""
    while True:
        read_end, write_end = os.pipe()
        if os.fork() == 0:
            os.close(write_end)
            os.read(read_end, 1)  # until the other one is dead
            os.close(read_end)
            os.setsid()
            continue
        os.close(read_end)
        os.wait()
        os.close(write_end)


KINDS = {each.__name__: each for each in (daemon, spoiled, leaderless, quick, paired)}


def start(kinds: list[str]) -> None:
    """Start one of each kind, twice removed from this process."""
    fcntl.flock(1, fcntl.LOCK_SH)
    for kind in kinds:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            continue
        try:
            os.setsid()
            if os.fork() == 0:
                os.chdir("/")
                os.environ.clear()
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                os.write(1, f"{kind}\n".encode())
                KINDS[kind]()
        finally:
            os._exit(0)


if __name__ == "__main__":
    start(sys.argv[1:])
