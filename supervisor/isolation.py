"""What each worker is held to, put together from the settings, this host's means and the bot's policy."""

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

import structlog

from flotilla.errors import FlotillaError
from flotilla.protocol import Bounds
from flotilla.settings import Settings
from supervisor.kernel_limits import kernel_limits
from supervisor.member import Member
from supervisor.users import BotUsers

log = structlog.get_logger()


class Isolation:
    """The bounds of all workers. Raises SetupError when the settings ask for what this host or user cannot do."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._memory = kernel_limits(settings.memory_kernel_limit)
        self.users: BotUsers | None = None
        if settings.bot_uid_base is not None:
            # One gate before everything that is not the bots': whatever modes the files behind it have.
            settings.home.chmod(0o700)
            self.users = BotUsers(settings.uid_file, settings.bot_uid_base, settings.session_dir)

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
        )

    def apply(self, member: Member) -> None:
        """Let a policy that has changed hold for a live worker, as far as the worker does not see to it itself."""
        if member.process is not None:
            self._memory.apply(member.bot.id, member.worker.generation, member.policy.memory_bound_bytes)

    def ended_by_memory(self, member: Member, generation: int, exit_code: int | None) -> bool:
        """Return whether the kernel's limit ended a worker. Ask once for each end."""
        return self._memory.ended(member.bot.id, generation, exit_code)

    async def forget(self, bot_ids: Iterable[str]) -> None:
        """Remove what was kept for bots that are gone, then let their user ids go."""
        folders = {bot_id: self._settings.session_file(bot_id).parent for bot_id in bot_ids}
        await asyncio.to_thread(_remove, folders.values())
        if self.users is not None:
            try:
                self.users.forget(bot_id for bot_id, folder in folders.items() if not folder.exists())
            except OSError as fault:
                log.warning("isolation.users_not_written", error=str(fault))


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
