"""A worker that tells without end. Arguments: control socket, bot id, generation, secret in hexadecimal."""

import contextlib
import itertools
import signal
import socket
import sys
import time
from collections.abc import Iterator

import msgspec
from ulid import ULID

from flotilla.domain.command_logs import CommandLog, Kind, Outcome
from flotilla.domain.command_syncs import Refusal, SyncReport
from flotilla.domain.happenings import Occurrence
from flotilla.protocol import (
    VERSION,
    Ask,
    Beat,
    CommandsRan,
    FrameDecoder,
    FromWorker,
    Happened,
    HappenedStored,
    Hello,
    IdentifiedAlone,
    Without,
    encode,
    to_worker,
)


def told() -> Iterator[FromWorker]:
    for number in itertools.count(1):
        at = time.time()
        yield Beat(1.0)
        yield Happened(number, tuple(Occurrence(str(ULID()), at, "guild_joined", {"n": n}) for n in range(100)))
        logs = (CommandLog(str(ULID()), at, Kind.COMMAND, "ping", Outcome.ANSWERED, 1, 2) for _ in range(200))
        yield CommandsRan(number, tuple(logs))
        yield from [IdentifiedAlone(0, 0.0)] * 10
        report = SyncReport(refused=(Refusal(str(number), (), "no"),))
        yield Ask(number, "commands.synced", msgspec.json.encode(report))
        yield Without("log", "ENOSPC")


def tell_what_matters(peer: socket.socket) -> None:
    """Tell something critical as a worker does, and wait until it is stored."""
    peer.sendall(encode(Happened(2**40, (Occurrence(str(ULID()), time.time(), "second_instance"),))))
    decoder = FrameDecoder()
    while received := peer.recv(65536):
        if any(isinstance(to_worker.decode(body), HappenedStored) for body in decoder.feed(received)):
            return


def main() -> None:
    path, bot_id, generation, secret = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    hello = encode(Hello(VERSION, bot_id, int(generation), bytes.fromhex(secret), running=True, ready=True))
    messages, matters = told(), True
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(hello)
            if matters:
                tell_what_matters(peer)
                matters = False
            for message in messages:
                peer.sendall(encode(message))
        time.sleep(0.05)


if __name__ == "__main__":
    main()
