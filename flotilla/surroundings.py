"""Faults of what a process stands on, which no code here expects by name and every code can meet."""

import errno
import os
import sys

_REMEDIES = {
    errno.ENOSPC: "Free space or inodes there.",
    errno.EDQUOT: "Free space there: a quota is used up.",
    errno.EROFS: "It lies on a file system that is mounted read-only.",
    errno.EACCES: "Run this as the user that the fleet runs as, or mend its permissions.",
    errno.EPERM: "Run this as the user that the fleet runs as, or mend its permissions.",
    errno.EMFILE: "Too many files are open: raise the limit with `ulimit -n`.",
    errno.ENFILE: "The whole system has too many files open.",
    errno.ENOMEM: "The machine has no memory left.",
    errno.EAGAIN: "The system lets this user have no more processes (ulimit -u, or pids.max of its cgroup).",
    errno.EIO: "The disk fails: look at the kernel's log.",
    errno.ENAMETOOLONG: "A name is too long.",
}


def surroundings_fault(fault: BaseException) -> str | None:
    """Return a sentence for what the system, the database's driver or an encoding refused; None for anything else."""
    if isinstance(fault, FileNotFoundError) and _folder_is_gone():
        return "The folder that you are in was removed. Change to another one, and run this again."
    if isinstance(fault, MemoryError):
        return "There is not enough memory for this. See: flotilla doctor"
    if isinstance(fault, OSError):
        where = f" {os.fsdecode(fault.filename)!r}" if isinstance(fault.filename, str | bytes) else ""
        remedy = _REMEDIES.get(fault.errno or 0, "See: flotilla doctor")
        return f"The system refuses{where}: {fault.strerror or fault}. {remedy}"
    if isinstance(fault, UnicodeEncodeError):
        return "An argument is no text: it holds bytes that are not UTF-8. Write it anew."
    alchemy = sys.modules.get("sqlalchemy.exc")
    if alchemy is not None and isinstance(fault, alchemy.DBAPIError):
        return f"The database refuses: {fault.orig}. Restore a backup if it is damaged. See: flotilla doctor"
    return None


def _folder_is_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is the same, and this needs no other module
    except OSError:
        return True
    return False
