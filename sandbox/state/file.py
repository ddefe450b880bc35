"""The file that a sandbox's state is kept in: whole or not there, its own or set aside, and off the hot path."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.local_discord import LocalDiscord
from sandbox.state.snapshot import restore, taken

VERSION = 1
SAVE_EVERY_S = 0.5
"""How long a change waits at least before it is written, so that many make one write."""

LOOP_SHARE = 0.03
"""The part of its time that the event loop may spend on taking snapshots.

Measured: with 1,000 bots of 10 commands, and 10,000 messages, one takes about 30 ms, and so is due about once a second.
"""

Say = Callable[[str], None]


class StateFile:
    """One file, with a line in front of it that says of whom and of what release it is, and what its bytes add up to.

    mark: of the secret that ids and tokens are derived from; another secret's state is of no use.
    """

    def __init__(self, path: Path, mark: str) -> None:
        self._path = path
        self._mark = mark
        self._lock = threading.Lock()  # one that was cancelled may still be writing when the last one comes

    def load(self, discord: LocalDiscord, say: Say) -> None:
        """Put what is kept into `discord`. What cannot be used is set aside, which `say` is told in a sentence."""
        try:
            restore(discord, self._body())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as fault:
            aside = self._path.with_name(f"{self._path.name}.set-aside")
            try:
                self._path.replace(aside)
            except OSError as error:
                aside_or_not = f"it could not be set aside either ({error.strerror or error})"
            else:
                aside_or_not = f"it is now {aside.name}"
            say(
                f"the state in {self._path} cannot be used ({fault}); {aside_or_not}. This Discord begins empty: bots "
                "connect as before, but names, guilds, messages and commands are gone."
            )

    def _body(self) -> bytes:
        head, _, body = self._path.read_bytes().partition(b"\n")
        fields = head.split(b" ")
        if len(fields) != len(self._head(b"").split(b" ")) or fields[0] != b"sandbox-state":
            raise ValueError("it is not the state of a sandbox")
        if fields[1] != str(VERSION).encode():
            raise ValueError("another release has written it")
        if fields[2] != self._mark.encode():
            raise ValueError("it belongs to another secret")
        if head != self._head(body):
            raise ValueError("it is damaged")
        return body

    def _head(self, body: bytes) -> bytes:
        return f"sandbox-state {VERSION} {self._mark} {hashlib.sha256(body).hexdigest()}".encode()

    def write(self, body: bytes) -> None:
        """Put a new state in the place of the one before, so that a crash leaves one of both. Raises OSError."""
        partial = self._path.with_name(f"{self._path.name}.new")
        with self._lock:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._head(body) + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)


class Keeper:
    """Writes a Discord's changes down, many at once."""

    def __init__(self, discord: LocalDiscord, file: StateFile, say: Say) -> None:
        self._discord = discord
        self._file = file
        self._say = say
        self._written = discord.changes
        self._failing = False

    async def keep(self) -> None:
        """Write for ever whatever has changed. A disk that refuses is told once, and tried again."""
        pause_s = SAVE_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            if self._discord.changes == self._written:
                continue
            changes, began = self._discord.changes, time.thread_time()
            body = taken(self._discord)
            pause_s = max(SAVE_EVERY_S, (time.thread_time() - began) / LOOP_SHARE)
            if await asyncio.to_thread(self._write, body):
                self._written = changes

    def finish(self) -> None:
        """Write what has not been written yet."""
        if self._discord.changes != self._written:
            self._write(taken(self._discord))

    def _write(self, body: bytes) -> bool:
        try:
            self._file.write(body)
        except OSError as fault:
            if not self._failing:
                self._say(f"the state cannot be written ({fault}); it is tried again.")
            self._failing = True
            return False
        self._failing = False
        return True
