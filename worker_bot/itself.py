"""What the built-in extensions may know of the bot that this process runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flotilla.domain.config import BotConfig, GuildConfig
from worker_bot.asking import AskingError


async def _nothing(_guild_id: int) -> GuildConfig:
    return GuildConfig()


async def _unchanged(_guild_id: int, _changes: dict[str, Any]) -> GuildConfig:
    raise AskingError("no_supervisor", "this process has no supervisor")


@dataclass(frozen=True, slots=True)
class Itself:
    """generation: of this process. config: how the bot is to be now. version: of that config.

    guild: what is set in a guild; it answers soon, and does not raise. known: what is known of that at once. change:
    put a merge patch on it, and return what is set then; raises AskingError.
    """

    generation: int = 0
    config: Callable[[], BotConfig] = BotConfig
    version: Callable[[], int] = int
    guild: Callable[[int], Awaitable[GuildConfig]] = _nothing
    known: Callable[[int], GuildConfig] = lambda _: GuildConfig()
    change: Callable[[int, dict[str, Any]], Awaitable[GuildConfig]] = _unchanged


_current: list[Itself] = []
_NOBODY = Itself()


def install(itself: Itself | None) -> None:
    """Let this be known; None: nothing."""
    _current[:] = [] if itself is None else [itself]


def current() -> Itself:
    """Return what is known; in a process that runs no bot's worker, all is as by default."""
    return _current[0] if _current else _NOBODY
