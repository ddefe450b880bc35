"""Which bot, guild or channel a name stands for; what there is, if it stands for none or for several."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from flotilla.cli.connection import Json
from flotilla.cli.faults import CommandError
from flotilla.cli.sandbox.control import Control

_NAMED_MAX = 12


class Names:
    """The names in one sandbox, as they are when first asked for."""

    def __init__(self, control: Control) -> None:
        self._control = control

    @cached_property
    def applications(self) -> list[Json]:
        """All applications."""
        return self._control.items("/applications")

    @cached_property
    def guilds(self) -> list[Json]:
        """All guilds, with their channels."""
        return self._control.items("/guilds")

    def application(self, wanted: str) -> Json:
        """Return an application by name or id. Raises CommandError (`unknown_bot`, `ambiguous`)."""
        found = _matching(self.applications, wanted)
        if not found:
            there = _listed(row["name"] for row in self.applications)
            hint = f"there are {there}" if there else "there is none yet: flotilla sandbox app add NAME"
            raise CommandError(f"No bot is called {wanted!r} here; {hint}.", code="unknown_bot")
        return _only(found, wanted, "bots", [str(row["id"]) for row in found])

    def application_ids(self, wanted: Sequence[str] | None) -> list[str] | None:
        """Return the ids of applications by name or id; None, which stands for all, if none is named."""
        return [str(self.application(each)["id"]) for each in wanted] if wanted else None

    def name_of(self, application_id: str) -> str:
        """Return an application's name, or its id if it is not known."""
        return next((str(row["name"]) for row in self.applications if row["id"] == application_id), application_id)

    def guild(self, wanted: str) -> Json:
        """Return a guild by name or id; a bot's name stands for its home guild.

        Raises CommandError (`unknown_guild`, `ambiguous`).
        """
        found = _matching(self.guilds, wanted)
        if not found:
            homes = {row["guild_id"] for row in self.applications if row["name"] == wanted}
            found = [row for row in self.guilds if row["id"] in homes]
        if not found:
            there = _listed(dict.fromkeys(row["name"] for row in self.guilds)) or "none"
            raise CommandError(f"No guild is called {wanted!r} here; there are: {there}.", code="unknown_guild")
        return _only(found, wanted, "guilds", [f"{row['id']} ({self._bots(row)})" for row in found])

    def channel(self, wanted: str, bot: Json | None = None) -> str:
        """Return the id of a channel by id, `name`, or `guild/name`; among those of the bot's guilds if one is given.

        A bot's name stands for its home channel; an id is taken as it is, since private channels are not listed.
        Raises CommandError (`unknown_channel`, `ambiguous`).
        """
        if wanted.isdecimal():
            return wanted
        place, _, name = wanted.rpartition("/")
        guilds = [self.guild(place)] if place else [row for row in self.guilds if self._has(row, bot)]
        name = name.removeprefix("#")
        found = [(guild, row) for guild in guilds for row in guild["channels"] if row["name"] == name]
        homes = [row["channel_id"] for row in self.applications if row["name"] == wanted]
        if not found and homes:
            return str(homes[0])
        if not found:
            there = _listed(dict.fromkeys(f"#{row['name']}" for guild in guilds for row in guild["channels"])) or "none"
            raise CommandError(f"No channel is called {wanted!r} there; there are: {there}.", code="unknown_channel")
        where = [f"{row['id']} in {guild['name']} ({self._bots(guild)})" for guild, row in found]
        return str(_only([row for _, row in found], wanted, "channels", where)["id"])

    def channels_of(self, bot: Json) -> list[str]:
        """Return the ids of all channels of a bot's guilds, those of its home guild first."""
        guilds = sorted(
            (row for row in self.guilds if self._has(row, bot)), key=lambda row: bool(row["id"] != bot["guild_id"])
        )
        return [row["id"] for guild in guilds for row in guild["channels"]]

    @staticmethod
    def _has(guild: Json, bot: Json | None) -> bool:
        return bot is None or bot["id"] in guild["applications"]

    def _bots(self, guild: Json) -> str:
        return "with " + (_listed(self.name_of(each) for each in guild["applications"]) or "no bot")


def _matching(rows: Iterable[Json], wanted: str) -> list[Json]:
    return [row for row in rows if wanted in {row["id"], row["name"]}]


def _only(found: list[Json], wanted: str, kind: str, which: list[str]) -> Json:
    if len(found) > 1:
        raise CommandError(
            f"{wanted!r} is the name of {len(found)} {kind}; say which by its id: {_listed(which)}.", code="ambiguous"
        )
    return found[0]


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _NAMED_MAX} more" if len(every) > _NAMED_MAX else ""
    return ", ".join(map(str, every[:_NAMED_MAX])) + more
