"""Registers a bot's commands with Discord when they differ from what was registered last, and not at each start.

It stands in lightbulb's place, for every lightbulb client of the process, however it was made; a contract test pins the
private names. What was registered last lies beside the bot's session: it outlives processes and fork servers, and goes
with the bot. See docs/decisions/024-commands-are-registered-when-they-differ.md.
"""

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hikari
import lightbulb
import msgspec
from lightbulb.internal import sync as lightbulbs
from lightbulb.internal.constants import GLOBAL_COMMAND_KEY

from flotilla.domain.command_syncs import (
    GLOBAL,
    MAX_TEXT,
    MAX_TOLD,
    Refusal,
    Registered,
    SyncReport,
    commands_named,
    explained,
)
from flotilla.redaction import redact_text
from flotilla.tasks import spawn
from worker_bot import asking, lost_extensions
from worker_bot.foreign_commands import entry_points, foreign
from worker_bot.regular import read_regular

FIRST_S: Final = 5.0
"""How long a start waits for it at most: then the bot serves with the old commands, and it goes on beside that."""

ATTEMPT_S: Final = 60.0
RETRY_BASE_S: Final = 15.0
RETRY_CAP_S: Final = 3600.0
MAX_FILE_BYTES: Final = 256 * 1024
TOO_MANY_CREATED: Final = 30034
"""Discord, "JSON Error Codes": the day's creations of commands are used up."""

TOO_MANY_REQUESTS: Final = 429
_TROUBLE: Final = (hikari.HikariError, OSError, TimeoutError)

_AND_OTHERS: Final = "+others"
"""Behind the hash of a scope in which the commands of others were left as they are."""

log = logging.getLogger("flotilla.commands")
Builders = list[Any]


class CommandSync:
    """Of one bot's process. Lives in one event loop.

    path: where it is kept what was registered; None: nowhere, so each start registers. epoch: of the last order to
    register whatever was registered before. tell: told how an attempt went that asked Discord; must not raise.
    """

    def __init__(
        self,
        path: Path | None,
        application_id: int,
        tell: Callable[[SyncReport], None],
        *,
        epoch: int = 0,
        first_s: float = FIRST_S,
        retry_base_s: float = RETRY_BASE_S,
    ) -> None:
        self._path, self._application_id, self._tell = path, application_id, tell
        self._epoch, self._first_s, self._retry_base_s = epoch, first_s, retry_base_s
        self._known = _read(path)
        self._is_news = False
        self._lost: tuple[str, ...] = ()
        self._client: lightbulb.Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def sync(self, client: lightbulb.Client) -> None:
        """Register what differs. Returns when that is done, or after `first_s`, and goes on then. Never raises."""
        self._client = client
        if places := nowhere(client):
            log.warning("commands that are registered nowhere, for their list of guilds is empty: %s", places)
        await asyncio.wait({self._begin(client)}, timeout=self._first_s)

    def order(self, epoch: int) -> None:
        """Register again, whatever was registered before, unless that was done for this order already."""
        changed, self._epoch = epoch != self._epoch, epoch
        if changed and self._client is not None:
            self._begin(self._client)

    def close(self) -> None:
        """Register nothing any more."""
        if self._task is not None:
            self._task.cancel()

    def _begin(self, client: lightbulb.Client) -> "asyncio.Task[None]":
        self.close()
        self._task = spawn("the registering of commands", self._until_registered(client))
        return self._task

    async def _until_registered(self, client: lightbulb.Client) -> None:
        failures = 0
        while True:
            try:
                wait_s = await self._attempt(client)
            except Exception:
                log.exception("the commands are not registered, and will not be before the next start")
                return
            if wait_s is None:
                return
            longest_s = min(RETRY_CAP_S, self._retry_base_s * 2 ** min(failures, 10))
            failures += 1
            await asyncio.sleep(wait_s + random.uniform(longest_s / 2, longest_s))  # noqa: S311 - jitter

    async def _attempt(self, client: lightbulb.Client) -> float | None:
        """Register what is due; return None, or for how many seconds Discord wants to hear nothing of the rest."""
        wanted, hashes = await _commands_of(client)
        lost = lost_extensions.of(client)
        is_whole = client.delete_unknown_commands and not lost
        if not is_whole:  # so that what stays now is due as soon as it need not
            hashes = {scope: f"{value}{_AND_OTHERS}" for scope, value in hashes.items()}
        self._is_news |= self._known is not None or self._epoch > 0
        known = (self._known or Registered(self._application_id)).under(self._application_id, self._epoch)
        registered, refused, later = None, list[Refusal](), list[Exception]()
        for scope in known.due(hashes, empty=is_whole):
            builders = wanted.get(scope, [])
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    count = await self._put(client, scope, builders, is_whole=is_whole)
            except _TROUBLE as fault:
                if not _is_final(fault):
                    later.append(fault)
                    continue
                refused.append(_refusal(scope, fault, [builder.name for builder in builders]))
                if isinstance(fault, hikari.BadRequestError) and scope in hashes:  # anything else may be cured by now
                    known = known.rejected(scope, hashes[scope])
            else:
                registered = (registered or 0) + count
                known = known.accepted(scope, hashes.get(scope))
            self._keep(known)
        if known != self._known and not later:
            self._keep(known)
        self._say(registered, refused, later, lost)
        return max((getattr(fault, "retry_after", 0.0) for fault in later), default=None)

    async def _put(self, client: lightbulb.Client, scope: str, builders: Builders, *, is_whole: bool) -> int:
        guild = hikari.UNDEFINED if scope == GLOBAL else hikari.Snowflake(scope)
        application = hikari.Snowflake(self._application_id)
        for builder in builders:
            # What is not said is the application's own (Discord, Create Global Application Command): no need to ask.
            builder.set_integration_types(builder.integration_types or hikari.UNDEFINED)
        others: Builders = []
        if not is_whole or guild is hikari.UNDEFINED:  # an Entry Point is in no guild in particular
            own = {(int(builder.type), builder.name) for builder in builders}
            there = await foreign(client.rest, application, guild, own)
            others += entry_points(there) if is_whole else there
        created = await client.rest.set_application_commands(application, builders + others, guild=guild)
        client._created_commands[GLOBAL_COMMAND_KEY if guild is hikari.UNDEFINED else guild] = created
        log.info("registered %d commands (%s), and left %d others", len(builders), scope, len(others))
        return len(builders)

    def _say(
        self, registered: int | None, refused: list[Refusal], later: list[Exception], lost: tuple[str, ...]
    ) -> None:
        for refusal in refused:
            log.error("Discord refused the commands %s (%s): %s", refusal.commands, refusal.scope, refusal.why)
        why = _sentence(later[0]) if later else ""
        if why:
            log.warning("the commands are not registered yet: %s", why)
        if lost:
            log.error("the commands of extensions that could not be loaded stay registered: %s", ", ".join(lost))
        news = tuple(name[:MAX_TEXT] for name in lost[:MAX_TOLD]) if lost != self._lost else ()
        self._lost = lost
        # That a new bot has registered its commands is nothing to tell, unless it could not at first.
        report = SyncReport(registered if self._is_news else None, tuple(refused[:MAX_TOLD]), why, news)
        self._is_news |= bool(why)
        if report != SyncReport():
            self._tell(report)

    def _keep(self, known: Registered) -> None:
        self._known = known
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(known))
            fresh.replace(self._path)
        except OSError as fault:
            log.warning("what was registered could not be kept, so the next start registers again: %s", fault)


def _read(path: Path | None) -> Registered | None:
    """Return what was registered last; None if nobody knows."""
    if path is None:
        return None
    try:
        return msgspec.json.decode(read_regular(path, MAX_FILE_BYTES), type=Registered)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        log.warning("what was registered last cannot be read, so the commands are registered again: %s", fault)
        return None


async def _commands_of(client: lightbulb.Client) -> tuple[dict[str, Builders], dict[str, str]]:
    """Return the commands of each scope, and their hashes."""
    for ahead in _ahead:
        if ahead.holds_for(client):
            return ahead.wanted, ahead.hashes
    wanted = await _wanted(client)
    return wanted, {scope: _hash(client, builders) for scope, builders in wanted.items()}


def nowhere(client: lightbulb.Client) -> list[str]:
    """Return the commands that nobody can use, for they are registered in an empty list of guilds."""
    return [
        command._command_data.name
        for command, places in client._registered_commands.items()
        if places != "defer" and not places
    ]


async def _wanted(client: lightbulb.Client) -> dict[str, Builders]:
    """Return the commands of each scope, in an order that is always the same. All that hangs on them is in there."""
    wanted: dict[str, Builders] = {GLOBAL: []}
    for guild, mapping in client.invokable_commands.items():
        roots = dict.fromkeys(
            _root(command)
            for group in mapping.values()
            for command in (group.slash, group.user, group.message)
            if command is not None
        )
        builders = [await _builder(client, root) for root in roots]
        if guild == GLOBAL_COMMAND_KEY:
            for builder in builders:
                builder.set_context_types(builder.context_types or list(hikari.ApplicationContextType))
        scope = GLOBAL if guild == GLOBAL_COMMAND_KEY else str(int(guild))
        wanted[scope] = sorted(builders, key=lambda builder: (int(builder.type), builder.name))
    return wanted


async def _builder(client: lightbulb.Client, root: Any) -> Any:  # noqa: ANN401
    builder = await root.as_command_builder(client.default_locale, client.localization_provider)
    if root._command_data.nsfw:  # lightbulb says so of groups alone
        builder.set_is_nsfw(True)
    return builder


def _root(command: Any) -> Any:  # noqa: ANN401 - a command's class or a group
    parent = command._command_data.parent
    return getattr(parent, "parent", parent) or command


def _hash(client: lightbulb.Client, builders: Builders) -> str:
    """Return the hash of what would be sent."""
    sent = [builder.build(client.rest.entity_factory) for builder in builders]
    return hashlib.sha256(json.dumps(sent, sort_keys=True, default=str).encode()).hexdigest()


def _is_final(fault: Exception) -> bool:
    """Return whether the same request cannot succeed if nobody changes anything."""
    if not isinstance(fault, hikari.ClientHTTPResponseError):
        return False
    return int(fault.status) != TOO_MANY_REQUESTS and fault.code != TOO_MANY_CREATED


def _refusal(scope: str, fault: Exception, names: Sequence[str]) -> Refusal:
    errors = getattr(fault, "errors", None)
    why = explained(errors, names) or _sentence(fault)
    return Refusal(scope, commands_named(errors, names), redact_text(why)[:800])


def _sentence(fault: Exception) -> str:
    said = getattr(fault, "message", "") or str(fault)
    return redact_text(f"{type(fault).__name__}: {said}".splitlines()[0])[:200]


TELL_S: Final = 300.0


def tell_supervisor(report: SyncReport) -> None:
    """Have the supervisor write down how it went."""
    spawn("the report on commands", _tell_supervisor(report))


async def _tell_supervisor(report: SyncReport) -> None:
    try:
        await asking.ask("commands.synced", msgspec.json.encode(report), TELL_S)
    except asking.AskingError as fault:
        log.warning("the supervisor was not told how the commands were registered: %s", fault)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What a client's commands were found to be before it had anybody to serve."""

    client: lightbulb.Client
    registered: dict[Any, Any]
    locale: hikari.Locale
    wanted: dict[str, Builders]
    hashes: dict[str, str]

    def holds_for(self, client: lightbulb.Client) -> bool:
        """Return whether it is this client, and nobody has given it other commands since."""
        is_as_it_was = self.registered == client._registered_commands and self.locale == client.default_locale
        return self.client is client and is_as_it_was


_ahead: list[_Ahead] = []


async def look_ahead(client: lightbulb.Client) -> None:
    """Find out now what the commands of `client` are, so that a worker which has it after the fork need not."""
    await _sync_as_lightbulb(client, _force_no_api_call=True)
    wanted, hashes = await _commands_of(client)
    _ahead[:] = [_Ahead(client, dict(client._registered_commands), client.default_locale, wanted, hashes)]


# What is put in lightbulb's place ------------------------------------------------------------------------------------

_current: list[CommandSync] = []


def install(sync: CommandSync | None) -> None:
    """Let `sync` register the commands of all lightbulb clients of this process; None: as lightbulb does by itself."""
    _current[:] = [] if sync is None else [sync]


async def _sync_application_commands(client: lightbulb.Client) -> None:
    if _current:
        await _current[0].sync(client)
    else:
        await _lightbulbs_own(client)


async def _sync_unless_known(client: lightbulb.Client, *, _force_no_api_call: bool = False) -> None:
    """Let the client know its commands by name, and register them unless that is not wanted."""
    if not any(ahead.holds_for(client) for ahead in _ahead):
        await _sync_as_lightbulb(client, _force_no_api_call=_force_no_api_call)
    elif client.sync_commands and not _force_no_api_call:
        await _sync_application_commands(client)


_sync_as_lightbulb = lightbulb.Client.sync_application_commands
lightbulb.Client.sync_application_commands = _sync_unless_known  # type: ignore[method-assign, assignment]
_lightbulbs_own = lightbulbs.sync_application_commands
lightbulbs.sync_application_commands = _sync_application_commands
