"""Looks at the programs of a home as they run: there, turning, not in a crash loop, all of one release.

As `flotilla.launch.probes`: a fact, or a FlotillaError that says what to do.
"""

import time
from datetime import datetime
from pathlib import Path

from flotilla.db.supervisors import SupervisorSeen
from flotilla.domain.health import HUNG_AFTER_S, LOOP_S, in_crash_loop, silent_s
from flotilla.domain.uptime import SILENT_AFTER
from flotilla.domain.vitals import ForkServerState
from flotilla.errors import RetryError
from flotilla.home import Card, ProgramLock
from flotilla.launch.layout import PROGRAMS, program_log, supervisord_socket
from flotilla.launch.remains import listener
from flotilla.release import release_on_disk, running_release, started_by_supervisord
from flotilla.settings import Settings
from flotilla.unix_socket import connect, trusted_users

SOCKET_S = 2.0
_WITHOUT = {
    "supervisor": "Bots run on, but nothing restarts them and no order reaches them.",
    "api": "Nothing answers the command line.",
    "jobs": "Operations and webhooks wait.",
}
_ANEW = (
    "Start anew: the supervisor with `flotilla supervisor restart`, the rest with `flotilla down`, then `flotilla up`."
)


def jobs_turn(settings: Settings) -> str:
    """The job program is there and its event loop turns."""
    card = _alive(settings, "jobs")
    quiet_s = silent_s(card.starts, card.beat_s, time.monotonic())
    if quiet_s > HUNG_AFTER_S:
        raise RetryError(
            f"jobs (process {card.pid}) lives, but has done nothing for {quiet_s:.0f} s: it hangs. {_WITHOUT['jobs']} "
            f"{_end(card.pid)}",
            code="jobs_hung",
        )
    return f"process {card.pid} works"


def api_runs(settings: Settings) -> str:
    """The API's process is there, was not stopped, and is found by the command line; its port says if it answers."""
    pid = _alive(settings, "api").pid
    try:
        connect(settings.api_socket, trusted_users(settings.home), SOCKET_S).close()
    except OSError as fault:
        raise RetryError(
            f"The API (process {pid}) runs, but nobody listens at {settings.api_socket} ({fault.strerror or fault}), "
            "where the command line asks it. A socket that was removed is back within seconds; if not, the API is "
            "of an older release, or cannot write there: read api.log, and run `flotilla upgrade`.",
            code="api_unreachable",
        ) from fault
    return f"process {pid} runs, and listens at {settings.api_socket}"


def supervisor_runs(settings: Settings) -> str:
    """The supervisor's process is there, was not stopped, and is not started again and again."""
    return f"process {_alive(settings, 'supervisor').pid} runs"


def supervisor_goes_on(settings: Settings) -> str:
    """If a supervisor runs in this home, it is as `supervisor_runs` wants it; one that does not may run elsewhere."""
    if ProgramLock(settings, "supervisor").holder() is None:
        return "not in this home"
    return supervisor_runs(settings)


def supervisor_reports(reports: list[SupervisorSeen], now: datetime, here: Settings | None = None) -> str:
    """The supervisor has reported lately. here: of the home that it runs in, if that can be seen."""
    if not reports:
        raise RetryError("No supervisor has ever reported. Start one: python -m supervisor")
    last = max(reports, key=lambda report: report.seen_at)
    age_s = (now - last.seen_at).total_seconds()
    where = f"slot {last.slot}, process {last.pid}, seen {max(age_s, 0):.0f} s ago"
    if age_s >= SILENT_AFTER.total_seconds() and here is not None and _turns(here, "supervisor"):
        raise RetryError(
            f"{where}: it runs, and the database takes nothing of what it reports. Bots are looked after, but what is "
            "shown of them is old, and no order reaches them. See: flotilla doctor",
            code="supervisor_unheard",
        )
    if age_s >= SILENT_AFTER.total_seconds():
        raise RetryError(f"{where}: it is gone or hangs. {_WITHOUT['supervisor']} See: flotilla doctor")
    return where


def supervisord_lives(settings: Settings) -> str:
    """The process that starts ended programs again is there, if one has started those that run."""
    if not any(started_by_supervisord(settings, program) for program in PROGRAMS):
        return "the programs were not started by it"
    pid = listener(supervisord_socket(settings))
    if pid is None:
        raise RetryError(
            "supervisord is gone, and its programs run without it: what ends stays ended. "
            "Run `flotilla down`, then `flotilla up`.",
            code="supervisord_away",
        )
    return f"process {pid}"


def fork_server_answers(reports: list[SupervisorSeen]) -> str:
    """What forks the workers answers its supervisor, as that reported last."""
    if not reports:
        return "no supervisor has reported"
    vitals = max(reports, key=lambda report: report.seen_at).vitals
    pid = vitals.fork_server_pid
    match vitals.fork_server:
        case ForkServerState.SILENT:
            raise RetryError(
                f"The fork server (process {pid}) has not answered for {vitals.fork_server_silent_s:.0f} s: it hangs. "
                f"Bots run on, but none can be started. End it with `kill -9 {pid}`; the supervisor starts another."
            )
        case ForkServerState.DYING:
            raise RetryError(
                "The fork server ends again and again. Bots run on, but none can be started. "
                "Read supervisor.log: it has its last words."
            )
    return f"{vitals.fork_server}" + (f", process {pid}" if pid else "")


def one_release(settings: Settings) -> str:
    """All programs that run are of the release on the disk, which is this one's."""
    wanted = release_on_disk()
    old = {name: told for name in PROGRAMS if (told := running_release(settings, name)) not in {None, wanted}}
    if old:
        told = ", ".join(f"{name} runs {release}" for name, release in old.items())
        raise RetryError(
            f"{told}, but {wanted} is installed. Replace every program in the right order: flotilla upgrade"
        )
    return wanted


def why_stopped(pid: int) -> str | None:
    """Return how to go on with a process that was stopped by a signal or a debugger; None if it was not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    # The state is the first field after the command's closing bracket. Source: proc(5).
    if fields and fields[0] in {b"T", b"t"}:
        return f"process {pid} was stopped by a signal (SIGSTOP). Let it go on with `kill -CONT {pid}`"
    return None


def _alive(settings: Settings, program: str) -> Card:
    card = ProgramLock(settings, program).card()
    log = program_log(settings, program)
    if card is None:
        raise RetryError(
            f"{program} does not run. {_WITHOUT[program]} Read {log} and mend what it says. {_ANEW}",
            code=f"{program}_away",
        )
    stopped = why_stopped(card.pid)
    if stopped:
        raise RetryError(f"{program}: {stopped}. {_WITHOUT[program]}", code=f"{program}_stopped")
    if in_crash_loop(card.starts, time.monotonic()):
        count = sum(time.monotonic() - start <= LOOP_S for start in card.starts)
        raise RetryError(
            f"{program} was started {count} times in the last {LOOP_S:.0f} s: something ends it again and again. "
            f"{_WITHOUT[program]} Read the end of {log}.",
            code=f"{program}_loops",
        )
    return card


def _turns(settings: Settings, program: str) -> bool:
    """Return whether a program has said lately that its event loop turns."""
    card = ProgramLock(settings, program).card()
    return card is not None and card.beat_s is not None and time.monotonic() - card.beat_s <= HUNG_AFTER_S


def _end(pid: int) -> str:
    return f"End it with `kill -9 {pid}`; supervisord starts it again."
