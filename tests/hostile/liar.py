"""A worker that sends what none of ours sends.

Arguments: control socket, bot id, generation, secret in hexadecimal, and which of how many liars it is.
"""

import contextlib
import itertools
import signal
import socket
import sys
import time

from flotilla.protocol import VERSION, Answered, Ask, Fetch, FrameDecoder, Hello, Refused, encode, frame, to_worker
from supervisor.pace import BURST, BYTES_OF_ONE, HELLO_COSTS, PER_S
from tests.hostile.extremes import USUAL, spoilt

ANSWER_S = 20.0
LAST = {"Failing", "Configured"}
"""What ends this process if it is believed."""


class Patience:
    """Keeps to the pace of a worker: this one is to be believed in nothing but that."""

    def __init__(self) -> None:
        self.left, self.now = BURST / 2, time.monotonic()

    def wait(self, messages: float) -> None:
        now = time.monotonic()
        self.left, self.now = min(BURST / 2, self.left + (now - self.now) * PER_S * 0.9) - messages, now
        if self.left < 0:
            time.sleep(-self.left / PER_S)


patience = Patience()


def connect(path: str, hello: bytes) -> socket.socket:
    """Return a connection that was welcomed or refused; while nobody listens or it is full, try again."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        patience.wait(HELLO_COSTS)
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


_numbers = itertools.count(2**40)


def is_open(peer: socket.socket) -> bool:
    """Return whether the other end answers a question that was sent after all else, and has not hung up."""
    question, decoder = Ask(next(_numbers), "nothing", b""), FrameDecoder()
    peer.settimeout(ANSWER_S)
    with contextlib.suppress(OSError):
        peer.sendall(encode(question))
        while received := peer.recv(65536):
            for body in decoder.feed(received):
                message = to_worker.decode(body)
                if isinstance(message, Answered) and message.number == question.number:
                    return True
    return False


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    path, bot_id, generation, secret, which, liars = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    hello = encode(Hello(VERSION, bot_id, int(generation), bytes.fromhex(secret), running=True, ready=True))
    peer = connect(path, hello)
    sent = dropped = 0
    for message in sorted(USUAL, key=lambda message: type(message).__name__ in LAST):
        if isinstance(message, Hello | Fetch):
            continue
        for _, body in itertools.islice(spoilt(message), int(which), None, int(liars)):
            sent += 1
            patience.wait(2 + len(body) / BYTES_OF_ONE)
            with contextlib.suppress(OSError):
                peer.sendall(frame(body))
            if not is_open(peer):
                dropped += 1
                peer.close()
                peer = connect(path, hello)
        say(f"{type(message).__name__}: {dropped} of {sent} dropped")
    say("told everything")
    signal.pause()


if __name__ == "__main__":
    main()
