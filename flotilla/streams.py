"""The standard streams: whatever a shell did to them, nothing breaks, and nothing lands in a stranger's file."""

import contextlib
import io
import os
import sys

_MODES = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)


def mend_streams() -> None:
    """Open what was closed (`>&-`) to nothing, and let every character be written somehow.

    A closed descriptor is the next file's: a database that got number 1 would be written over by the next print.
    """
    for descriptor, mode in enumerate(_MODES):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - stays open as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What its encoding lacks is written as an escape: a mark that is lost would say the opposite of what is.
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Send to nowhere what is still to be written: whoever would read it is gone, and closing must not complain."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)
