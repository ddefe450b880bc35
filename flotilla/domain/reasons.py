"""Why a worker is not running, what that means, and what an operator can do about it.

One table decides how each failure is treated. A code is stable: it is stored, answered by the API and searched for.
"""

import enum
import signal
from collections.abc import Mapping
from dataclasses import dataclass


class Verdict(enum.Enum):
    """How the supervisor treats a run that ended for some reason."""

    RETRY = "retry"  # start again with backoff; too many in a row end in FATAL
    WAIT = "wait"  # start again with backoff for as long as it takes: the cause is outside the bot
    GIVE_UP = "give up"  # straight to FATAL: a retry cannot cure it
    RESTART = "restart"  # the supervisor's own doing: start again at once, nothing is counted


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table: what happened (`title`), what it means, and the operator's next step.

    ran: there was a run that ended so; a restart policy has no say over one that never began. cap_s: longest wait
    before the next try, where the policy would allow a longer one.
    """

    code: str
    title: str
    explanation: str
    remedy: str
    verdict: Verdict
    ran: bool = True
    cap_s: float = float("inf")


SPAWN_CAP_S = 30.0
"""So soon after a host is itself again its last bot is tried again; the others follow the first one that comes up."""

_ROWS = (
    Reason(
        "token_refused",
        "token refused",
        "Discord does not accept this token: it was reset, or it was never right.",
        "Copy a new token from the Developer Portal, then: flotilla bots token NAME. All else that the bot has stays.",
        Verdict.GIVE_UP,
    ),
    Reason(
        "intents_refused",
        "privileged intent not granted",
        "The bot asks for an intent that is not switched on for its application (close code 4013 or 4014).",
        "Switch it on in the Developer Portal (Bot, Privileged Gateway Intents), then: flotilla bots start NAME.",
        Verdict.GIVE_UP,
    ),
    Reason(
        "sharding_required",
        "sharding required",
        "The bot is in too many guilds for one gateway connection (close code 4010 or 4011).",
        "Ask Discord again how many shards it needs: flotilla bots start NAME. Code that sets it must set more.",
        Verdict.GIVE_UP,
    ),
    Reason(
        "gateway_version_refused",
        "gateway version refused",
        "Discord no longer speaks the gateway version that this release uses (close code 4012).",
        "Upgrade Flotilla, then: flotilla bots start NAME.",
        Verdict.GIVE_UP,
    ),
    Reason(
        "bot_code_failed",
        "bot code failed",
        "The bot's own code raised an error while it started.",
        "Read the traceback in the bot's log, mend the code, then start the bot.",
        Verdict.RETRY,
    ),
    Reason(
        "crashed",
        "process crashed",
        "The worker process exited with an error, without being asked to.",
        "Read the end of the bot's log. Flotilla starts it again.",
        Verdict.RETRY,
    ),
    Reason(
        "exited",
        "bot ended by itself",
        "The bot's own code ended it cleanly: it closed the bot, or the process exited with code 0.",
        "Look in its code for bot.close(), sys.exit() and os._exit(). With the restart policy on-failure it would stay "
        "ended; with always, Flotilla starts it again.",
        Verdict.RETRY,
    ),
    Reason(
        "unseen",
        "ended while nobody could see how",
        "The worker is gone, and its exit code is not known: the process that could have told had ended before it.",
        "Read the end of the bot's log. Flotilla starts it again.",
        Verdict.RETRY,
    ),
    Reason(
        "killed",
        "process was killed",
        "A signal that Flotilla did not send ended the worker.",
        "Find out who sent it. If it was SIGKILL and nobody did, look for the kernel's out-of-memory report: dmesg. "
        "Flotilla starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "aborted",
        "process aborted itself (SIGABRT)",
        "A C library of the bot gave up and called abort(): a failed assertion, broken memory, or none left.",
        "Read the end of the bot's log, where most libraries say why. If its memory was near its limit, raise that; "
        "else upgrade the library. Flotilla starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "segfault",
        "invalid memory access (SIGSEGV)",
        "C code of the bot read or wrote memory that is not its own, or recursed without end.",
        "Find the library: start the bot's code with python -X faulthandler. Upgrade it, or go back to the release "
        "before. Flotilla starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "bus_error",
        "memory that is not there (SIGBUS)",
        "The bot used a file mapped into memory that was cut short, or whose disk was full or failed.",
        "Check free space and the kernel's log (dmesg) for disk errors; then see which files the bot's libraries map. "
        "Flotilla starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "illegal_instruction",
        "instruction the processor does not have (SIGILL)",
        "A library of the bot was built for another processor than this host's, or its code was damaged.",
        "Install its package again on this host, or a build for an older processor. Flotilla starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "arithmetic_fault",
        "arithmetic fault (SIGFPE)",
        "C code of the bot divided an integer by zero, or a quotient did not fit.",
        "Find the library: start the bot's code with python -X faulthandler, and upgrade it. Flotilla starts the bot "
        "again.",
        Verdict.RETRY,
    ),
    Reason(
        "file_limit",
        "a file reached its largest size (SIGXFSZ)",
        "C code of the bot wrote beyond the size that a file of a bot may have (FLOTILLA_BOT_FILE_MB).",
        "Find the file that grows: a log, a database, a download. Bound it, or raise FLOTILLA_BOT_FILE_MB. Flotilla "
        "starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "unasked_handover",
        "handed over without being asked",
        "The worker said that it had handed over to a next one, as after SIGUSR1, and Flotilla had not asked for that.",
        "Find out who sends SIGUSR1 to it, or what code of the bot speaks for its worker. Flotilla starts it again.",
        Verdict.RETRY,
    ),
    Reason(
        "memory_limit",
        "memory limit exceeded",
        "The worker used more memory than its limit and was killed.",
        "Look for a leak or a large cache in the bot, or raise its limit. Flotilla starts the bot again.",
        Verdict.RETRY,
    ),
    Reason(
        "startup_timeout",
        "not READY in time",
        "The worker did not become READY within its startup timeout and was killed.",
        "Look at the stacks in the bot's log and at Discord's status page. Flotilla tries again.",
        Verdict.RETRY,
    ),
    Reason(
        "unresponsive",
        "event loop blocked",
        "The worker's event loop sent no heartbeat within the liveness timeout and was killed.",
        "Mend the blocking call (time.sleep, requests, loops); its log has the stacks. Flotilla starts it again.",
        Verdict.RETRY,
    ),
    Reason(
        "spawn_failed",
        "could not start a process",
        "This host could not start the worker, for a reason that is not the bot's: disk, memory, limits, folders.",
        "Mend what `flotilla happenings --code spawns_fail` names. Flotilla tries again by itself, and counts nothing.",
        Verdict.WAIT,
        ran=False,
        cap_s=SPAWN_CAP_S,
    ),
    Reason(
        "discord_unreachable",
        "Discord not reachable",
        "The worker could not reach Discord, or Discord answered with an error of its own.",
        "Check this host's network and Discord's status page. Flotilla keeps trying.",
        Verdict.WAIT,
    ),
    Reason(
        "session_limit",
        "session start limit reached",
        "This token has used up Discord's 1,000 session starts of the last 24 hours.",
        "Nothing to do now: Flotilla waits. Then find out why the bot restarted so often.",
        Verdict.WAIT,
        ran=False,
    ),
    Reason(
        "session_budget",
        "session starts are being saved",
        "The bot has spent so many of its 1,000 daily session starts that the rest are kept for people.",
        "Find out why it starts so often. It waits; `flotilla bots start NAME` may use what is kept for people.",
        Verdict.WAIT,
        ran=False,
    ),
    Reason(
        "request_budget",
        "requests of this host are held back",
        "So many requests were answered with 401, 403 or 429 that only answers to interactions are let through.",
        "Nothing to do for this bot: it is tried again. Look for the bots that make them: flotilla happenings.",
        Verdict.WAIT,
    ),
    Reason(
        "token_unreadable",
        "token cannot be decrypted",
        "The stored token was encrypted with a key that is not in the key file.",
        "Put the old key back into the key file and start the bot, or give it its token: flotilla bots token NAME.",
        Verdict.GIVE_UP,
        ran=False,
    ),
    Reason(
        "secret_unreadable",
        "secret cannot be decrypted",
        "One of the bot's secrets was encrypted with a key that is not in the key file; the supervisor's log names it.",
        "Put the old key back into the key file, or set it anew: flotilla bots secrets NAME set SECRET. "
        "Then: flotilla bots start NAME.",
        Verdict.GIVE_UP,
        ran=False,
    ),
    Reason(
        "crash_loop",
        "crash loop",
        "The worker failed too many times in a row, or too many times in its period with stable runs in between.",
        "Look what ended it: flotilla bots inspect NAME. Mend that, then: flotilla bots start NAME.",
        Verdict.GIVE_UP,
    ),
    Reason(
        "restart_policy",
        "not to be restarted",
        "The worker ended, and the bot's restart policy (never, or on-failure) leaves it so.",
        "See its last exit: flotilla bots inspect NAME. Set another restart policy, or just: flotilla bots start NAME.",
        Verdict.GIVE_UP,
    ),
    Reason(
        "memory_soft_limit",
        "restarted before its memory limit",
        "The worker stayed above its soft memory limit and was restarted with its session kept.",
        "Nothing now. If it happens again and again, look for a leak, or raise the limit.",
        Verdict.RESTART,
    ),
    Reason(
        "deaf",
        "session went deaf",
        "Discord acknowledged the bot's heartbeats but sent no events, and reconnecting did not help.",
        "Nothing now: the bot was restarted. If many bots show it, look at Discord's status page.",
        Verdict.RESTART,
    ),
    Reason(
        "gateway_lost",
        "without a gateway session for too long",
        "The bot lost its gateway session and did not get it back by itself.",
        "Nothing now: the bot was restarted. If it comes again, see its log and Discord's status page.",
        Verdict.RESTART,
    ),
    Reason(
        "rolled_over",
        "moved to new code",
        "The worker was restarted from a new fork server, with its session kept.",
        "Nothing to do.",
        Verdict.RESTART,
    ),
    Reason(
        "config_changed",
        "restarted for a new config",
        "The bot's config was changed in a way that only a new process can have; its session was kept.",
        "Nothing to do.",
        Verdict.RESTART,
    ),
    Reason(
        "config_refused",
        "gone back to its last good config",
        "The bot could not be run with its new config, and runs with the last one that was good.",
        "See why: flotilla bots config NAME. Change it, or mend what it needs and restart the bot to try it again.",
        Verdict.RESTART,
    ),
    Reason(
        "config_not_taken",
        "new config not taken",
        "The bot's own code raised an error when it was told its new settings, and goes on with those before.",
        "Read the traceback in the bot's log; change the settings, or mend the code and restart the bot.",
        Verdict.RESTART,
        ran=False,
    ),
    Reason(
        "reloaded",
        "reloaded by an owner",
        "One of the bot's owners used /reload: it was restarted with its session kept.",
        "Nothing to do.",
        Verdict.RESTART,
    ),
    Reason(
        "restart_requested",
        "restart requested",
        "An operator or an operation asked for a restart.",
        "Nothing to do.",
        Verdict.RESTART,
    ),
)

REASONS: dict[str, Reason] = {row.code: row for row in _ROWS}


def reason(code: str) -> Reason:
    """Return the row of `code`; a code this release does not know (from a newer worker) is treated as a crash."""
    return REASONS.get(code, REASONS["crashed"])


def reason_told(code: str) -> str:
    """Return the reason code for a run whose worker says that it ends with `code`.

    Why a worker is restarted without being counted is the supervisor's to say, so one that says so has crashed.
    """
    return "crashed" if reason(code).verdict is Verdict.RESTART else code


# Discord's close codes that no reconnect cures, and those that say the token is dead.
# Source: Discord, "Gateway Close Event Codes"; 4001-4003, 4005, 4007-4009 are retryable and stay out of this table.
_FATAL_CLOSE_CODES = {
    4004: "token_refused",
    4010: "sharding_required",
    4011: "sharding_required",
    4012: "gateway_version_refused",
    4013: "intents_refused",
    4014: "intents_refused",
}


def reason_of_close_code(close_code: int) -> str:
    """Return the reason code for a gateway close that ended a worker's run."""
    return _FATAL_CLOSE_CODES.get(close_code, "discord_unreachable")


def reason_of_status(status: int, code: int = 0) -> str:
    """Return the reason code for an HTTP answer that ended a worker's start. code: Discord's own, from the body.

    A 401 means a dead token, except with 50027: a webhook's token is wrong then, not the bot's.
    """
    if status == 401:  # noqa: PLR2004 - HTTP's own numbers
        return "bot_code_failed" if code == _DEAD_WEBHOOK else "token_refused"
    if status == 429 or status >= 500:  # noqa: PLR2004
        return "discord_unreachable"
    return "bot_code_failed"


_DEAD_WEBHOOK = 50027
"""Discord, "JSON Error Codes": invalid webhook token provided."""


def reason_of_exit(exit_code: int | None) -> str:
    """Return the reason code for a process that ended without telling why.

    exit_code: as `subprocess` gives it: at least 0 for an exit, `-signal` for a signal, None when nobody could see it.
    A signal says no more than its name: whether memory ran out is the kernel's to say (supervisor/kernel_limits.py).
    """
    if exit_code is None:
        return "unseen"
    if exit_code < 0:
        return _OF_SIGNALS.get(-exit_code, "killed")
    return "exited" if exit_code == 0 else "crashed"


_OF_SIGNALS: Mapping[int, str] = {
    signal.SIGABRT: "aborted",
    signal.SIGSEGV: "segfault",
    signal.SIGBUS: "bus_error",
    signal.SIGILL: "illegal_instruction",
    signal.SIGFPE: "arithmetic_fault",
    signal.SIGXFSZ: "file_limit",
}
"""Signals that a process brings upon itself; any other is somebody's doing."""

NATIVE_FAULTS = frozenset(_OF_SIGNALS.values())
"""Reasons of runs that C code ended."""
