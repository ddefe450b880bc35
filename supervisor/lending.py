"""Opens for a worker what is its own and yet behind its walls, since another file lies there than when it was started.

That is its log and the file of its session; wherever names and links lead, it is nobody else's.
"""

import os
import stat
from pathlib import Path

from flotilla.botlog import log_file
from flotilla.protocol import Fetch
from flotilla.settings import Settings
from supervisor.member import Member
from supervisor.users import BotUsers


class Lender:
    """users: who is who, if bots have users of their own."""

    def __init__(self, settings: Settings, users: BotUsers | None) -> None:
        self._settings = settings
        self._users = users

    def open(self, member: Member, wanted: Fetch) -> int:
        """Return a descriptor of the file that lies there now, made if there is none. Raises OSError."""
        if wanted.what == "log":
            path = log_file(self._settings.log_dir, member.bot.name)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            return self._own(path, os.O_WRONLY | os.O_APPEND, None)
        uid = None if self._users is None else self._users.known(member.bot.id)
        owner = os.geteuid() if uid is None else uid
        path = self._settings.session_file(member.bot.id)
        self._make_folder(path.parent, owner)
        if wanted.shards > 1:
            path = path.with_name(f"{path.name}.{wanted.shard}of{wanted.shards}")
        return self._own(path, os.O_RDWR, owner)

    def _make_folder(self, folder: Path, owner: int) -> None:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        os.chown(folder, owner, -1, follow_symlinks=False)

    def _own(self, path: Path, flags: int, owner: int | None) -> int:
        """Open a file where a bot may have put anything: one of its own that has no other name, or a new one.

        owner: None where no bot can put anything.
        """
        safely = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, safely | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            descriptor = os.open(path, safely)
        else:
            if owner is not None:
                os.fchown(descriptor, owner, -1)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or owner not in {None, found.st_uid}:
            os.close(descriptor)
            raise PermissionError(f"{path} is no file of this bot's alone")
        return descriptor
