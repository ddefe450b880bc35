"""What keeps a bot's code from what is not its bot's: which of it is in force, and how that is said."""

from dataclasses import dataclass
from typing import Final

TCP_ABI: Final = 4
SIGNALS_ABI: Final = 6
"""Versions of Landlock that know TCP, and signals and abstract sockets. Source: landlock(7)."""

NEWEST_ABI: Final = 7
"""The newest version whose rights `flotilla.landlock` knows; a kernel that offers a later one is asked for no more."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds every bot's code from its first line on.

    users: each bot has a user of its own. landlock_abi: version of Landlock that is in force, 0: none. no_users,
    no_landlock: why not, empty where it is in force. searches: bots keep one capability, to read what their user may
    not (CAP_DAC_READ_SEARCH), because Python or the code lies where only root may enter; Landlock bounds it.
    code_closed: the folder where other users may not enter, empty if there is none.
    """

    users: bool
    landlock_abi: int
    no_users: str = ""
    no_landlock: str = ""
    code_closed: str = ""

    @property
    def searches(self) -> bool:
        """Whether bots must be let through folders that are closed to their users."""
        return bool(self.users and self.landlock_abi and self.code_closed)

    @property
    def is_full(self) -> bool:
        """Whether a bot is kept from all that is not its own; only a user of its own is no one's friend."""
        return self.users

    @property
    def text(self) -> str:
        """Say in one line what is in force, and why what is not."""
        parts = []
        if self.users:
            passes = f" with the right to pass {self.code_closed}, where the code lies" if self.searches else ""
            parts.append(f"a user of its own for each bot{passes}")
        elif self.no_users:
            parts.append(f"no users of their own ({self.no_users})")
        if self.landlock_abi:
            parts.append(f"Landlock ABI {self.landlock_abi} ({', '.join(_held(self.landlock_abi))})")
        else:
            parts.append(f"no Landlock ({self.no_landlock})")
        if self.users and self.code_closed and not self.landlock_abi:
            parts.append(f"{self.code_closed} is closed to other users: what bots import late fails")
        return "; ".join(parts)

    @property
    def weakness(self) -> str:
        """Say what a hostile bot can do that it should not; empty if there is nothing."""
        if self.is_full:
            return ""
        if not self.landlock_abi:
            return "A bot can read and change all that this user can: secrets.key, the database, other bots' sessions."
        able = ["use what listens on Unix sockets of this user (systemd --user, ssh-agent, Docker)"]
        if self.landlock_abi < SIGNALS_ABI:
            able.append("end other bots and these programs with a signal")
        if self.landlock_abi < TCP_ABI:
            able.append("take ports")
        return f"A bot can {', '.join(able)}."

    @property
    def remedy(self) -> str:
        """Say how to have more; empty if there is no weakness."""
        if self.is_full:
            return ""
        kernel = "" if self.landlock_abi >= SIGNALS_ABI else " Linux 6.12 or newer knows more of Landlock."
        return (
            "Run Flotilla as root, so that each bot has a user of its own, or as a user that has nothing else and no "
            f"login.{kernel}"
        )


def _held(version: int) -> list[str]:
    held = ["files", "other programs' memory"]
    if version >= TCP_ABI:
        held.append("TCP ports")
    if version >= SIGNALS_ABI:
        held.append("signals")
    return held
