"""A user id for each bot: one bot's code then reaches neither another bot nor this program's files."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from flotilla.confinement import RANGE
from flotilla.errors import SetupError
from flotilla.processes import uids_alive


class BotUsers:
    """Which bot has which user id; kept in `file`, which only the supervisor that holds this home writes.

    Two bots never share one, and a bot keeps its own until it is forgotten. Raises SetupError (`uids_damaged`).
    """

    def __init__(self, file: Path, base: int, session_dir: Path) -> None:
        self._file = file
        self._base = base
        self._last, self._uids = self._read()
        for folder in session_dir.iterdir():
            # The file may have been lost while the bots' folders, or the bots themselves, were not.
            if folder.is_dir() and self._is_ours(folder.stat().st_uid):
                self._uids.setdefault(folder.name, folder.stat().st_uid)

    @property
    def fleet_gid(self) -> int:
        """The group all bots are in; it may enter the folder of the control socket."""
        return self._base

    def uid(self, bot_id: str) -> int:
        """Return the bot's user id. Raises as `ensure` does when it needs a new one."""
        if bot_id not in self._uids:
            self.ensure([bot_id])
        return self._uids[bot_id]

    def known(self, bot_id: str) -> int | None:
        """Return the bot's user id if it has one."""
        return self._uids.get(bot_id)

    def ensure(self, bot_ids: Iterable[str]) -> None:
        """Give each bot a user id that has none, written down before the first is used.

        Raises OSError, SetupError (`uids_exhausted`), and then has given none.
        """
        new = [bot_id for bot_id in bot_ids if bot_id not in self._uids]
        if not new:
            return
        uids, last = dict(self._uids), self._last
        # A process may outlive the memory of whose it was: the file can be lost.
        taken = set(uids.values()) | uids_alive()
        for bot_id in new:
            last = uids[bot_id] = self._free(taken, last)
            taken.add(last)
        self._write(last, uids)
        self._last, self._uids = last, uids

    def forget(self, bot_ids: Iterable[str]) -> None:
        """Take back the user ids of bots that are gone for good, with their files. Raises OSError."""
        gone = [self._uids.pop(bot_id, None) for bot_id in bot_ids]
        if any(uid is not None for uid in gone):
            self._write(self._last, self._uids)

    def _free(self, taken: set[int], last: int) -> int:
        for step in range(RANGE):
            uid = self._base + (last - self._base + step) % RANGE + 1
            if uid not in taken:
                return uid
        raise SetupError(f"All {RANGE} user ids above FLOTILLA_BOT_UID_BASE are in use.", code="uids_exhausted")

    def _is_ours(self, uid: int) -> bool:
        return self._base < uid <= self._base + RANGE

    def _read(self) -> tuple[int, dict[str, int]]:
        try:
            kept = json.loads(self._file.read_text())
            last, uids = int(kept["last"]), {str(bot): int(uid) for bot, uid in kept["uids"].items()}
        except FileNotFoundError:
            return self._base, {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise SetupError(
                f"{self._file} cannot be read ({fault}). Stop all bots with `flotilla down`, remove the file, start "
                "again: each bot is then given the owner of its folder in run/sessions, or a new user id.",
                code="uids_damaged",
            ) from fault
        if len(set(uids.values())) < len(uids):
            raise SetupError(f"{self._file} gives two bots one user id. Restore it, or remove it.", code="uids_damaged")
        # Those of another base are given anew.
        uids = {bot: uid for bot, uid in uids.items() if self._is_ours(uid)}
        return last if self._is_ours(last) else self._base, uids

    def _write(self, last: int, uids: dict[str, int]) -> None:
        fresh = self._file.with_name(self._file.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor
            json.dump({"last": last, "uids": uids}, file)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(self._file)
