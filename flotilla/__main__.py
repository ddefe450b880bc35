"""The command `flotilla`, also as `python -m flotilla`: the command line, which takes a moment to import."""

import signal
import sys


def main() -> int:
    """Run the command of `sys.argv`; return the process's exit code.

    Until the command line is there an interrupt ends the process as the kernel does, without a traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from flotilla.cli import main as run  # noqa: PLC0415 - that is what takes a moment

    return run()


if __name__ == "__main__":
    sys.exit(main())
