"""`flotilla bots inspect` and `flotilla bots stacks`: what a bot does, what it is held to, and how it ended before."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.faults import CommandError
from flotilla.cli.terminal import say_block, say_json

if TYPE_CHECKING:
    from flotilla.cli.api import Api
    from flotilla.cli.drawing import RenderableType

STACKS_TIMEOUT_S = 15.0
LOOK_EVERY_S = 0.1
WIDTH = 100
TAIL_LINES = (12, 3, 3)
"""Of each of the last exits, the newest first; `--json` has all."""

Name = Annotated[str, typer.Argument(metavar="NAME")]


def inspect(name: Name, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show how a bot is: why, since when, what to do, its probes, its restarts, and how it ended the last times."""
    from flotilla.cli.faults import ApiError  # noqa: PLC0415

    with _api() as api:
        path = f"/bots/{api.bot_named(name)['id']}"
        found = api.get(f"{path}/inspection")
        with contextlib.suppress(ApiError):  # live metrics may be away
            found["metrics"] = api.get(f"{path}/metrics")
    bot = found["bot"]
    open_files = count_open_files(bot["name"], bot.get("pid"))
    if as_json:
        say_json({**found, "open_files": open_files})
        return
    from flotilla.cli.render import console, now  # noqa: PLC0415
    from flotilla.domain.reasons import REASONS  # noqa: PLC0415

    known = REASONS.get(str(bot.get("reason_code") or ""))
    screen = console()
    screen.width = min(screen.width, WIDTH) if screen.is_terminal else screen.width
    for part in inspection(found, known.explanation if known else None, open_files, now()):
        screen.print(part)


def stacks(name: Name) -> None:
    """Show where a bot's threads and tasks are right now. Its log has them too."""
    with _api() as api:
        bot = api.bot_named(name)
        epoch = api.post(f"/bots/{bot['id']}/stacks")["epoch"]
        answer = await_answer(api, f"/bots/{bot['id']}/stacks", epoch, STACKS_TIMEOUT_S)
    if answer is None:
        raise CommandError(
            f"No answer within {STACKS_TIMEOUT_S:.0f} s: the supervisor is away or busy. The stacks will be in the "
            f"bot's log when it is back. See: flotilla status",
            code="timeout",
        )
    if answer.get("fault"):
        raise CommandError(str(answer["fault"]), code="no_stacks")
    say_block(answer["text"].removesuffix("\n"))


def await_answer(api: "Api", path: str, epoch: int, timeout_s: float) -> dict[str, Any] | None:
    """Return what the API answers once it answers this request; None if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = api.get(path)
        if answer["epoch"] >= epoch:
            return answer
        time.sleep(LOOK_EVERY_S)
    return None


def count_open_files(name: str, pid: int | None) -> int | None:
    """Return how many descriptors a bot's process has; None if it is not on this host, or may not be looked at."""
    import psutil  # noqa: PLC0415 - slow to import

    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        mine = f"flotilla: bot {name} " in " ".join(process.cmdline())
        return process.num_fds() if mine else None
    except psutil.Error:
        return None


def _config(bot: Mapping[str, Any]) -> str:
    """Return which config is wanted and which one runs."""
    wanted, running, fault = bot.get("config_version", 0), bot.get("config_running"), bot.get("config_fault")
    if fault:
        return (
            f"version {wanted} was refused ({fault}); version {running} runs. See: flotilla bots config {bot['name']}"
        )
    if running is None or running == wanted:
        return f"version {wanted}"
    return f"version {wanted}; version {running} runs still"


def inspection(
    found: Mapping[str, Any], explanation: str | None, open_files: int | None, now: datetime
) -> "Iterator[RenderableType]":
    """Yield what `inspect` prints: the state, the probes, the last exits."""
    from flotilla.cli.render import coloured, moment, table  # noqa: PLC0415

    bot = found["bot"]
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Bot", str(bot["name"]))
    facts.add_row("State", coloured(bot["state"]))
    facts.add_row("Since", moment(bot.get("since"), now))
    facts.add_row("Wanted", str(bot["desired"]))
    if bot.get("reason"):
        facts.add_row("Why", str(bot["reason"]) + (f": {explanation}" if explanation else ""))
        facts.add_row("Do", str(bot.get("remedy") or "-"))
    if (found.get("vitals") or {}).get("set_aside"):
        facts.add_row("Set aside", f"{found['vitals']['set_aside']}; the supervisor's log has the traceback")
    files = "not readable" if open_files is None else str(open_files)
    running = f"{bot['pid']}; open files: {files}" if bot.get("pid") else "none"
    facts.add_row("Process", running)
    fork_server = found.get("fork_server")
    made = "" if fork_server is None else f", from fork server {fork_server}"
    facts.add_row("Generation", f"{bot.get('generation', 0)}{made}")
    facts.add_row("Config", _config(bot))
    facts.add_row(
        "Restarts",
        f"{found['restarts_24h']} in the last 24 hours; "
        f"{found['failures']} of {found['limits']['max_failures']} failures in a row",
    )
    yield facts
    yield ""
    yield _probes(found, now)
    yield from _metrics(found.get("metrics") or {})
    yield from _happenings(found["happenings"], now)
    yield from _exits(found["exits"], now)


def _probes(found: Mapping[str, Any], now: datetime) -> "RenderableType":
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.memory import growing  # noqa: PLC0415
    from flotilla.cli.render import latency, moment, percent, table  # noqa: PLC0415

    bot, limits = found["bot"], found["limits"]
    probes = table("PROBE", "NOW", "LIMIT")
    started = bot["state"] != "STARTING"
    live = bot.get("pid") is not None
    probes.add_row(
        "startup",
        "-" if not live else "passed" if started else f"starting since {moment(bot.get('since'), now)}",
        f"READY within {limits['startup_timeout_s']:g} s",
    )
    beat = f"last heartbeat {moment(found.get('heartbeat_at'), now)}" if found.get("heartbeat_at") else "-"
    probes.add_row("liveness", beat, f"{limits['liveness_timeout_s']:g} s without one (shown to 5 s)")
    probes.add_row("readiness", "gateway session is up" if bot["ready"] else "no gateway session", "-")
    growth = growing(found.get("vitals") or {})
    used = _memory(bot.get("memory_bytes"), limits["memory_limit_bytes"])
    probes.add_row("memory", Text.lines([used, growth] if growth else [used]), _mib(limits))
    vitals = found["vitals"] if live else {}
    probes.add_row("delivery", _delivery(vitals), _quiet(limits))
    response = f"95 % of the last {vitals.get('responses')} within {latency(vitals.get('response_p95_ms'))}"
    probes.add_row("response", response if vitals.get("responses") else "-", f"{limits['response_target_ms']:g} ms")
    probes.add_row("latency", latency(bot.get("latency_ms")), "-")
    probes.add_row("invalid requests", _invalid_requests(found["vitals"]), "the host's: flotilla status")
    probes.add_row("session starts", *_session_starts(found, now))
    probes.add_row("uptime 24 h", percent(bot.get("uptime_ratio_24h")), percent(limits["uptime_target"]))
    return probes


def _metrics(found: Mapping[str, Any]) -> "Iterator[RenderableType]":
    recent = found.get("recent")
    if recent is None:
        return
    first, lag = recent["first_response"], recent["loop_lag"]
    parts = [
        f"{_figure(recent['commands_per_min'])} interactions/min",
        f"first response p50 {_figure(first['p50_ms'])} ms, p95 {_figure(first['p95_ms'])} ms",
        "errors -" if recent["error_share"] is None else f"errors {recent['error_share']:.1%}",
        f"loop lag p99 {_figure(lag['p99_ms'])} ms",
    ]
    yield ""
    yield f"Last {recent['seconds'] / 60:.0f} min: {'; '.join(parts)}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _invalid_requests(vitals: Mapping[str, Any]) -> str:
    made = vitals.get("invalid_requests_10m")
    shown = "-" if made is None else f"{made} in 10 min"
    return f"{shown}; held back" if vitals.get("quarantined") else shown


def _session_starts(found: Mapping[str, Any], now: datetime) -> tuple[str, str]:
    from flotilla.cli.render import ahead  # noqa: PLC0415

    vitals, kept = found["vitals"], f"{found['limits']['session_reserve']} kept for you"
    if vitals.get("session_starts_24h") is None:
        return "-", kept
    total = vitals.get("session_starts_total", 0)
    shown = f"{vitals['session_starts_24h']} of {total:,} in 24 h, {vitals['session_starts_left']} left"
    back_at = vitals.get("session_starts_back_at")
    return shown, kept + (f", back {ahead(back_at, now)}" if back_at else "")


def _delivery(vitals: Mapping[str, Any]) -> str:
    meanings = {
        "ok": "events come",
        "quiet": "no event yet",
        "probing": "Discord was asked",
        "deaf": "deaf",
        "unprobed": "in no guild to ask about",
    }
    quiet_s = vitals.get("quiet_s")
    meaning = meanings.get(str(vitals.get("delivery")), "-")
    return meaning if quiet_s is None or meaning == "-" else f"{meaning}; silent for {quiet_s:.0f} s"


def _quiet(limits: Mapping[str, Any]) -> str:
    if not limits["delivery_probe"]:
        return "off"
    return f"asked after {limits['delivery_quiet_s']:g} s, 2 x {limits['delivery_answer_s']:g} s"


def _memory(used: int | None, limit: int) -> str:
    from flotilla.cli.render import memory  # noqa: PLC0415

    return memory(used) + (f" USS, {used / limit:.0%} of its limit" if used is not None else "")


def _mib(limits: Mapping[str, Any]) -> str:
    from flotilla.cli.render import memory  # noqa: PLC0415

    return f"{memory(limits['memory_soft_bytes'])} soft, {memory(limits['memory_limit_bytes'])} hard"


def _happenings(rows: list[Mapping[str, Any]], now: datetime) -> "Iterator[RenderableType]":
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.happenings import detail  # noqa: PLC0415
    from flotilla.cli.render import moment  # noqa: PLC0415

    if rows:
        yield ""
        yield Text("LAST HAPPENINGS", style="bold")
    for row in rows:
        yield f"{moment(row['at'], now)}: {row['title']} ({detail(row['detail'])})"


def _exits(exits: list[Mapping[str, Any]], now: datetime) -> "Iterator[RenderableType]":
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import moment  # noqa: PLC0415

    yield ""
    if not exits:
        yield "It has never ended."
        return
    yield Text("LAST EXITS", style="bold")
    for row, count in zip(exits, TAIL_LINES, strict=False):
        why = row.get("reason") or "asked to stop"
        yield f"generation {row['generation']}, {moment(row['at'], now)}: {row['how']}, {why}"
        lines = str(row["tail"]).splitlines()
        if len(lines) > count:
            yield f"  … {len(lines) - count} lines before"
        for line in lines[-count:]:
            yield Text(f"  | {line}", overflow="fold")


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
