"""What each worker is held to, put together from the settings, this host's means and the bot's policy."""

import asyncio
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from flotilla.confinement import find, uid_base
from flotilla.domain.confinement import Confinement
from flotilla.domain.policy import MIB
from flotilla.errors import FlotillaError
from flotilla.mark import can_wear_worker_mark, mark_of, worker_mark
from flotilla.processes import uids_alive
from flotilla.protocol import Bounds, Walls
from flotilla.settings import Settings
from supervisor.kernel_limits import kernel_limits
from supervisor.member import Member
from supervisor.trees import remove_tree
from supervisor.users import BotUsers

_HTTPS_PORT = 443
_ID = re.compile("[0-9A-Z]{26}")
OTHERS = stat.S_IRWXG | stat.S_IRWXO
log = structlog.get_logger()


class Isolation:
    """The bounds of all workers. Raises SetupError when the settings ask for what this host or user cannot do."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._memory = kernel_limits(settings.memory_kernel_limit)
        self.confinement = find(settings)
        self._leaving: dict[str, tuple[Path, ...]] = {}
        self._left = settings.run_dir / "leaving.json"
        self._forgetting = asyncio.Lock()
        self._home, self._marks = mark_of(settings.home), can_wear_worker_mark()
        if not self._marks:
            log.warning("isolation.no_marks", remedy="Raise the hard limits of locks and resident set: ulimit -H -x -m")
        self.users: BotUsers | None = None
        if self.confinement.users:
            self.users = BotUsers(settings.uid_file, uid_base(settings), settings.session_dir)
        self.let_through()
        self._walls = walls_of(settings, self.confinement)
        tell = log.info if self.confinement.is_full else log.warning
        tell("isolation.chosen", bots=self.confinement.text, weakness=self.confinement.weakness)

    def let_through(self) -> None:
        """Let the bots' group pass, and nobody else, to the folders of which each has one; without users, nobody.

        A bot looks there whether its log and its session are still where they were. It sees no names, and opens nothing
        that is another's. Raises OSError.
        """
        settings = self._settings
        ways = (settings.run_dir, settings.session_dir, settings.bots_dir, settings.log_dir, settings.log_dir / "bots")
        for folder in (settings.home, *ways):
            found = folder.stat()
            group = found.st_gid if self.users is None else self.users.fleet_gid
            mode = 0o700 if self.users is None else 0o710
            if (found.st_gid, stat.S_IMODE(found.st_mode)) != (group, mode):
                os.chown(folder, -1, group)
                folder.chmod(mode)
        if self.users is not None:
            self._close({*ways, settings.control_socket.parent})

    def _close(self, ways: set[Path]) -> None:
        """Close to others what lies in the home: bots may pass there, and people copy things. Raises OSError."""
        with os.scandir(self._settings.home) as entries:
            for entry in entries:
                mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                if mode & OTHERS and not entry.is_symlink() and Path(entry.path) not in ways:
                    Path(entry.path).chmod(mode & ~OTHERS)

    def prepare(self, bot_ids: Iterable[str]) -> None:
        """Do at once for many bots what costs a write to the disk. What fails is tried again for each bot."""
        if self.users is None:
            return
        try:
            self.users.ensure(bot_ids)
        except (OSError, FlotillaError) as fault:
            log.error("isolation.no_users", error=str(fault))  # noqa: TRY400 - one line says it

    def bounds(self, member: Member) -> Bounds:
        """Return what a new worker is held to. Raises OSError or SetupError: then it must not start."""
        generation, bound_bytes = member.worker.generation, member.policy.memory_bound_bytes
        uid = None if self.users is None else self.users.uid(member.bot.id)
        return Bounds(
            open_files=self._settings.bot_open_files,
            growth_bytes=self._memory.growth_bytes(bound_bytes),
            cgroup=self._memory.join(member.bot.id, generation, bound_bytes),
            uid=uid,
            fleet_gid=0 if self.users is None else self.users.fleet_gid,
            processes=self._settings.bot_processes,
            walls=self._walls,
            searches=self.confinement.searches,
            folder=str(self._settings.bot_folder(member.bot.id)),
            temporary=str(self._settings.temporary_folder(member.bot.id)),
            mark=worker_mark(self._home, member.bot.id, generation) if self._marks else None,
            # Without a mark of its own a worker keeps its home's, which is such a limit.
            file_bytes=self._settings.bot_file_mb * MIB if self._marks else None,
        )

    def apply(self, member: Member) -> None:
        """Let a policy that has changed hold for a live worker, as far as the worker does not see to it itself."""
        if member.process is not None:
            self._memory.apply(member.bot.id, member.worker.generation, member.policy.memory_bound_bytes)

    def end(self, bot_id: str, generation: int) -> Path | None:
        """Kill what a worker that has ended left in its cgroup; return the cgroup, None if it had none."""
        return self._memory.end(bot_id, generation)

    def ended_by_memory(self, member: Member, generation: int, exit_code: int | None) -> bool:
        """Return whether the kernel's limit ended a worker. Ask once for each end."""
        return self._memory.ended(member.bot.id, generation, exit_code)

    def leave(self, bot_ids: Iterable[str]) -> None:
        """Note that bots are about to be gone for good, for whoever comes after this process has to `forget` them."""
        self._leaving |= {
            bot_id: (
                self._settings.session_file(bot_id).parent,
                self._settings.bot_folder(bot_id),
                self._settings.temporary_folder(bot_id),
            )
            for bot_id in bot_ids
        }
        self._note_leaving()

    def left_behind(self, bot_ids: Collection[str]) -> list[str]:
        """Return bots of which a supervisor before this one has left something, and which are none of `bot_ids`."""
        try:
            noted = json.loads(self._left.read_bytes())
        except (OSError, ValueError):
            return []
        known = set(bot_ids)
        ids = noted if isinstance(noted, list) else []
        return [bot_id for bot_id in ids if isinstance(bot_id, str) and _ID.fullmatch(bot_id) and bot_id not in known]

    async def forget(self, bot_ids: Iterable[str], may_live: Callable[[int], bool] = lambda _uid: False) -> None:
        """Remove what was kept for bots that are gone, then let their user ids go.

        may_live: whether something of a user may live. Such a one, and one that has files, stays the bot's until the
        next time. Takes as long as it takes to remove all files that they have.
        """
        self.leave(bot_ids)
        async with self._forgetting:
            gone = {bot_id for bot_id in list(self._leaving) if await self._is_removed(bot_id)}
            if self.users is not None:
                living = await asyncio.to_thread(uids_alive)
                used = {bot_id: uid for bot_id in gone if (uid := self.users.known(bot_id)) is not None}
                gone -= {bot_id for bot_id, uid in used.items() if uid in living or may_live(uid)}
                try:
                    self.users.forget(gone)
                except OSError as fault:
                    log.warning("isolation.users_not_written", error=str(fault))
            for bot_id in gone:
                del self._leaving[bot_id]
            self._note_leaving()

    async def _is_removed(self, bot_id: str) -> bool:
        """Remove what was kept for a bot; return whether all of it is gone. What stays is told."""
        all_gone = True
        own = None if self.users is None else self.users.known(bot_id)
        owners = {os.geteuid()} | ({own} if own is not None else set())
        for folder in self._leaving[bot_id]:
            try:
                await asyncio.to_thread(remove_tree, folder, owners)
            except Exception as fault:  # noqa: BLE001 - a bot has made what is there, and it must be nobody else's trouble
                all_gone = False
                log.warning(
                    "isolation.left",
                    bot_id=bot_id,
                    folder=str(folder),
                    error=str(fault),
                    action="It is tried again when another bot is removed and at the next start; or remove it by hand.",
                )
        return all_gone

    def _note_leaving(self) -> None:
        fresh = self._left.with_name(self._left.name + ".new")
        try:
            if not self._leaving:
                self._left.unlink(missing_ok=True)
                return
            fresh.write_text(json.dumps(sorted(self._leaving)))
            fresh.replace(self._left)
        except OSError as fault:
            log.warning("isolation.leaving_not_noted", error=str(fault))


def walls_of(settings: Settings, confinement: Confinement) -> Walls | None:
    """Return what Landlock lets every bot reach, None where it is not in force."""
    if not confinement.landlock_abi:
        return None
    connect = None
    if settings.bot_connect_ports:
        discord = urlsplit(settings.discord_url)
        connect = (*settings.bot_connect_ports, _HTTPS_PORT, discord.port or _HTTPS_PORT)
    return Walls(
        confinement.landlock_abi,
        (str(settings.home), *_database_files(settings)),
        tuple(map(str, settings.bot_read_paths)),
        tuple(map(str, settings.bot_write_paths)),
        settings.bot_listen_ports,
        connect,
    )


def _database_files(settings: Settings) -> list[str]:
    """Return the files of an SQLite database, wherever it lies."""
    scheme, separator, path = settings.effective_database_url.partition(":///")
    if not separator or not scheme.startswith("sqlite"):
        return []
    file = os.path.abspath(path.partition("?")[0])  # noqa: PTH100 - it need not be there
    return [file + suffix for suffix in ("", "-wal", "-shm", "-journal")]
