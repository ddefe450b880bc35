"""An application and everything that hangs on it. Pure."""

from dataclasses import dataclass, field

from sandbox.commands.book import CommandBook
from sandbox.gateway.ledger import SessionStarts
from sandbox.world.users import User


@dataclass(slots=True)
class Application:
    """One application. `name` is None until it is registered by name; `bot.id` is its id, as with all newer ones.

    home_guild_id, home_channel_id: the guild it is in from the start, and that guild's first channel.
    answered_twice: interactions that got a second initial response.
    resume_gap_s: how long the session was without a client before the last resume.
    owner: who made the application; owns the home guild.
    """

    id: str
    verify_key: str
    bot: User
    owner: User
    home_guild_id: str
    home_channel_id: str
    starts: SessionStarts
    name: str | None = None
    description: str = ""
    serial: int = 0
    privileged_refused: bool = False
    identifies: int = 0
    resumes: int = 0
    resume_gap_s: float | None = None
    answered_twice: int = 0
    commands: CommandBook = field(default_factory=CommandBook)
