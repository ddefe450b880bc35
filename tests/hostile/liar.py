"""A worker that sends what none of ours sends. Arguments: control socket, bot id, generation, secret in hexadecimal."""

import contextlib
import signal
import socket
import sys
import time

from flotilla.protocol import VERSION, Beat, Fetch, FrameDecoder, Hello, Refused, encode, frame, to_worker
from tests.hostile.extremes import USUAL, spoilt

ANSWER_S = 20.0
LAST = {"Failing", "Configured"}
"""What ends this process if it is believed."""


def connect(path: str, hello: bytes) -> socket.socket:
    """Return a connection that was welcomed or refused; while nobody listens or it is full, try again."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(ANSWER_S)
        with contextlib.suppress(OSError):
            peer.connect(path)
            peer.sendall(hello)
            received = peer.recv(65536)
            if received:
                message = to_worker.decode(next(FrameDecoder().feed(received)))
                if isinstance(message, Refused):
                    sys.exit(f"refused: {message.why}")
                return peer
        peer.close()
        if time.monotonic() > deadline:
            sys.exit("nobody answers")
        time.sleep(0.02)


def is_open(peer: socket.socket) -> bool:
    """Return whether the other end has not hung up, once it has taken a heartbeat."""
    peer.settimeout(0.02)
    try:
        while peer.recv(65536):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    path, bot_id, generation, secret = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    hello = encode(Hello(VERSION, bot_id, int(generation), bytes.fromhex(secret), running=True, ready=True))
    peer = connect(path, hello)
    sent = dropped = 0
    for message in sorted(USUAL, key=lambda message: type(message).__name__ in LAST):
        if isinstance(message, Hello | Fetch):
            continue
        for _, body in spoilt(message):
            sent += 1
            with contextlib.suppress(OSError):
                peer.sendall(frame(body) + encode(Beat(1.0)))
            if not is_open(peer):
                dropped += 1
                peer.close()
                peer = connect(path, hello)
        say(f"{type(message).__name__}: {dropped} of {sent} dropped")
    say("told everything")
    signal.pause()


if __name__ == "__main__":
    main()
