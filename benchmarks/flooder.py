"""A worker that sends as much as it is let. Arguments: way, control socket, bot id, generation, secret."""

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable

from ulid import ULID

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.protocol import MAX_FRAME_BYTES, VERSION, Beat, CommandsRan, Hello, encode, frame

AGAIN_S = 0.01
LOGS = 200


def logs() -> bytes:
    """Return a batch of command logs as large as a frame may be; each is another one."""
    options: dict[str, str | int | float | bool | None] = {f"option-{number}": "x" * 195 for number in range(24)}
    at = time.time()
    rows = (
        CommandLog(str(ULID()), at, Kind.COMMAND, "x" * 20, Outcome.ANSWERED, 1, 2, 3, 4, options) for _ in range(LOGS)
    )
    return encode(CommandsRan(time.monotonic_ns(), tuple(rows)))


WAYS: dict[str, Callable[[], bytes]] = {
    "1 MB of command logs": logs,
    "1 MB of nonsense": lambda: frame(b"\xc1" * MAX_FRAME_BYTES),
    "1 MB frames without an end": lambda: frame(b"\x00" * MAX_FRAME_BYTES)[:-1],
    "heartbeats": lambda: encode(Beat(1.0)) * 100,
}


def main() -> None:
    """Flood until killed; whenever it is disconnected, connect again."""
    way, path, bot_id, generation, secret = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    hello = encode(Hello(VERSION, bot_id, int(generation), bytes.fromhex(secret), running=True, ready=True))
    make, said = WAYS[way], False
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(hello)
            if not said:
                said = True
                sys.stdout.write("flooding\n")
                sys.stdout.flush()
            while True:
                peer.sendall(make())
                if way.endswith("without an end"):
                    break
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
