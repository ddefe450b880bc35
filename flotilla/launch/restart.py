"""`flotilla supervisor restart`: a new supervisor for bots that run on, and the proof that they did."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from flotilla.db.engine import Database
from flotilla.db.fleet import SqlFleetStore
from flotilla.db.schema import require_current
from flotilla.db.supervisors import SqlSupervisors
from flotilla.domain.bots import BotStatus
from flotilla.errors import RetryError
from flotilla.home import ProgramLock
from flotilla.launch.layout import program_log, supervisord_socket
from flotilla.launch.supervisord import GROUP, Supervisord
from flotilla.release import started_by_supervisord
from flotilla.settings import Settings

PROGRAM = "supervisor"
STOP_S = 12.0
"""supervisord kills the program after the 8 s of its stopwaitsecs."""

START_S = 30.0
HEARD_S = 10.0
SHOWN_NAMES = 5
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet at one moment. supervisor: the pid that reported last, and when it had started."""

    bots: Mapping[str, tuple[str, BotStatus]]
    supervisor: tuple[int, datetime] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the bots that had a process before: their names, in order.

    kept: the same process; heard: and it has spoken to the new supervisor. restarted: another process. gone: none.
    """

    kept: tuple[str, ...]
    heard: tuple[str, ...]
    restarted: tuple[str, ...]
    gone: tuple[str, ...]


def restart_supervisor(settings: Settings, say: Callable[[str], None], group: str | None = None) -> None:
    """Restart the supervisor through supervisord, wait until it has taken the bots over, and tell it through `say`.

    group: restart all programs of this group with it, as supervisord.conf is now.

    Raises RetryError: `supervisord_away`, `program_stuck` (it does not end), `supervisor_not_back` (the new one does
    not report; the bots run on), `bots_not_kept` (some have another process than before, or none).
    """
    supervisord = Supervisord(supervisord_socket(settings))
    _require_supervisord(supervisord, settings)
    before = asyncio.run(_look(settings))
    began = time.monotonic()
    say("Restarting the supervisor; the bots run on …")
    if group is None:
        restart_program(settings, supervisord, PROGRAM)
    else:
        renew_group(settings, supervisord, group)
    _wait(lambda: _reported(settings, supervisord, before), START_S, _not_back(settings))
    back_s = time.monotonic() - began
    compared = compare(before, asyncio.run(_look(settings)))
    deadline = time.monotonic() + HEARD_S
    while len(compared.heard) < len(compared.kept) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
        compared = compare(before, asyncio.run(_look(settings)))
    heard_s = time.monotonic() - began
    _tell(compared, say, back_s, heard_s)


def restart_program(settings: Settings, supervisord: Supervisord, program: str, group: str = GROUP) -> None:
    """Stop a program through supervisord and start it again. Raises RetryError (`program_stuck`)."""
    supervisord.stop(program, group)
    _wait(lambda: _stopped(supervisord, {program}), STOP_S, _stuck(settings, program))
    supervisord.start(program, group)


def renew_api(settings: Settings, supervisord: Supervisord) -> None:
    """Have the API go over to the code on the disk; who connects meanwhile is answered by it (`api.keeper`).

    One of a release that held no socket ends by that signal, and supervisord starts the next. Raises RetryError
    (`program_stuck`).
    """
    if not supervisord.signal("api", "USR2"):
        restart_program(settings, supervisord, "api")


def renew_group(settings: Settings, supervisord: Supervisord, group: str) -> None:
    """Have a group run as `Supervisord.changed_groups` read it. Raises RetryError (`program_stuck`)."""
    members = {program.name for program in supervisord.programs() if program.group == group}
    supervisord.stop_group(group)
    _wait(lambda: _stopped(supervisord, members), STOP_S, _stuck(settings, group))
    supervisord.renew_group(group)


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """Return what became of the bots. A process is its pid and its start time."""
    kept: list[str] = []
    heard: list[str] = []
    restarted: list[str] = []
    gone: list[str] = []
    for bot_id, (name, was) in sorted(before.bots.items(), key=lambda item: item[1][0]):
        if was.pid is None:
            continue
        now = after.bots[bot_id][1] if bot_id in after.bots else BotStatus(bot_id)
        if (now.pid, now.process_started_at, now.generation) == (was.pid, was.process_started_at, was.generation):
            kept.append(name)
            if now.heartbeat_at is not None and now.heartbeat_at != was.heartbeat_at:
                heard.append(name)
        else:
            (gone if now.pid is None else restarted).append(name)
    return Comparison(tuple(kept), tuple(heard), tuple(restarted), tuple(gone))


def _tell(compared: Comparison, say: Callable[[str], None], back_s: float, heard_s: float) -> None:
    say(f"The new supervisor reported after {back_s:.1f} s and has adopted {len(compared.kept)} bots.")
    if compared.kept and len(compared.heard) == len(compared.kept):
        say(f"All of them had spoken to it after {heard_s:.1f} s.")
    elif compared.kept:
        silent = sorted(set(compared.kept) - set(compared.heard))
        say(f"{_names(silent)} have not spoken to it yet; what stays silent is restarted. Look again: flotilla bots ls")
    if compared.restarted or compared.gone:
        parts = [
            f"{len(names)} {what} ({_names(names)})"
            for names, what in ((compared.restarted, "have been restarted"), (compared.gone, "have no process"))
            if names
        ]
        raise RetryError(
            f"Not all bots were kept: {', '.join(parts)}. See why: flotilla bots inspect NAME", code="bots_not_kept"
        )
    say("No bot was restarted.")


def _names(names: "tuple[str, ...] | list[str]") -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")


def _require_supervisord(supervisord: Supervisord, settings: Settings) -> None:
    pid = supervisord.pid()
    if pid:
        return
    alone = ProgramLock(settings, PROGRAM).holder()
    if pid == 0:
        sentence = "supervisord is shutting everything down. Start the fleet again with `flotilla up`."
    elif alone is not None:
        kept = started_by_supervisord(settings, PROGRAM)
        way_out = (
            "Run `flotilla up`: it replaces what is left, and the bots run on."
            if kept
            else "Run `flotilla down`, then `flotilla up`."
        )
        sentence = (
            f"supervisord is gone, and left a supervisor (process {alone}) that nothing would start again. {way_out}"
        )
    else:
        sentence = (
            f"No supervisord runs in {settings.home}. Start the fleet with `flotilla up`, "
            "or set FLOTILLA_HOME to the folder of the fleet that you mean."
        )
    raise RetryError(sentence, code="supervisord_away")


async def _look(settings: Settings) -> Snapshot:
    database = Database(settings.effective_database_url)
    try:
        await require_current(database)
        rows = await SqlFleetStore(database).fleet()
        seen = await SqlSupervisors(database).all()
    finally:
        await database.close()
    last = max(seen, key=lambda row: row.seen_at, default=None)
    return Snapshot(
        {row.bot.id: (row.bot.name, row.status) for row in rows},
        None if last is None else (last.pid, last.started_at),
    )


def _stopped(supervisord: Supervisord, names: set[str]) -> bool:
    rows = [row for row in supervisord.programs() if row.name in names]
    return bool(rows) and all(row.state in {"STOPPED", "EXITED", "FATAL"} for row in rows)


def _reported(settings: Settings, supervisord: Supervisord, before: Snapshot) -> bool:
    found = next((row for row in supervisord.programs() if row.name == PROGRAM), None)
    if found is not None and found.given_up:
        raise RetryError(
            f"The new supervisor ended with exit code {found.exit_status}; {program_log(settings, PROGRAM)} says why. "
            "The bots run on without it. Mend the cause, then run this again.",
            code="supervisor_not_back",
        )
    reported = asyncio.run(_look(settings)).supervisor
    return reported is not None and reported != before.supervisor


def _stuck(settings: Settings, what: str) -> RetryError:
    return RetryError(
        f"The {what} did not end within {STOP_S:.0f} s. Look at {settings.log_dir}; the bots run on. Run this again.",
        code="program_stuck",
    )


def _not_back(settings: Settings) -> RetryError:
    return RetryError(
        f"The new supervisor did not report within {START_S:.0f} s. Look at {program_log(settings, PROGRAM)}; "
        "the bots run on without it. See also: flotilla doctor",
        code="supervisor_not_back",
    )


def _wait(finished: Callable[[], bool], wait_s: float, late: RetryError) -> None:
    deadline = time.monotonic() + wait_s
    while not finished():
        if time.monotonic() > deadline:
            raise late
        time.sleep(_LOOK_EVERY_S)
