"""What a bot answered to something a user did, in words. Pure."""

import shlex
from typing import Any

from flotilla.cli.drawing import Drawn, Text
from flotilla.cli.sandbox.components import component_lines
from flotilla.cli.sandbox.messages import LOADING, conversation
from flotilla.cli.sandbox.text import milliseconds, one_line, wrapped

Json = dict[str, Any]
# Types of interaction callback. Source: Discord, "Receiving and Responding".
_MESSAGE, _DEFERRED_MESSAGE, _DEFERRED_UPDATE, _UPDATE, _AUTOCOMPLETE, _MODAL = range(4, 10)
_DONE = {
    _MESSAGE: "answered",
    _DEFERRED_MESSAGE: "deferred",
    _DEFERRED_UPDATE: "acknowledged",
    _UPDATE: "changed the message",
    _MODAL: "opened a form",
}


def awaits_answer(report: Json) -> bool:
    """Return whether the bot deferred and what it deferred has not come yet."""
    message = report.get("message")
    return report["status"] == "deferred" and message is not None and bool(message["flags"] & LOADING)


def failure(report: Json, bot: str) -> str | None:
    """Return why there is no answer, as a sentence; None if there is one."""
    if report["status"] == "not_connected":
        return (
            f"{bot} is not connected to this sandbox, so nothing reached it. Start the bot; "
            "`flotilla sandbox apps` shows who is connected."
        )
    if report["status"] == "timed_out":
        return (
            f"{bot} did not answer within {milliseconds(report['elapsed_ms'])}; a user would read "
            "“The application did not respond”. Look at the bot's log, and at `flotilla sandbox unknown`."
        )
    if awaits_answer(report):
        return (
            f"{bot} deferred after {milliseconds(report['elapsed_ms'])} and has not answered yet. Look again with: "
            f"flotilla sandbox answer {shlex.quote(bot)} {report['interaction_id']}"
        )
    return None


def answer_lines(report: Json, bot: str, width: int) -> list[Drawn]:
    """Return what the bot did as lines of at most `width` cells."""
    if report["status"] == "pending":
        return [Text(f"{bot} has not answered yet.")]
    kind, data = report["response"]["type"], report["response"]["data"]
    after = f"after {milliseconds(report['elapsed_ms'])}"
    if kind == _AUTOCOMPLETE:
        return _choices(data["choices"], f"{bot} offered {_count(data['choices'])} {after}")
    lines = [Text.assemble((f"{bot} {_DONE[kind]} {after}", "bold"), _then(report, kind))]
    if kind == _MODAL:
        return [*lines, *_form(report, bot, width)]
    shown = [*([report["message"]] if report["message"] else []), *report["follow_ups"]]
    return [*lines, *conversation(shown, width)]


def _then(report: Json, kind: int) -> str:
    if kind != _DEFERRED_MESSAGE or awaits_answer(report):
        return ""
    return ", then answered" if report["message"] else ", then deleted its answer"


def _count(choices: list[Json]) -> str:
    if not choices:
        return "no choices"
    return "1 choice" if len(choices) == 1 else f"{len(choices)} choices"


def _choices(choices: list[Json], title: str) -> list[Drawn]:
    longest = max((len(one_line(choice["name"])) for choice in choices), default=0)
    rows = [
        Text.assemble("  ", f"{one_line(choice['name']):<{longest}}", (f"  {one_line(choice['value'])}", "dim"))
        for choice in choices
    ]
    return [Text(title, style="bold"), *rows]


def _form(report: Json, bot: str, width: int) -> list[Drawn]:
    data = report["response"]["data"]
    fields = component_lines(data["components"], width - 2)
    submit = f"Submit it with: flotilla sandbox submit {shlex.quote(bot)} {report['interaction_id']} --field NAME=VALUE"
    return [
        Text.assemble("  ", (one_line(data["title"]), "bold"), (f"  {one_line(data['custom_id'])}", "dim")),
        *(Text("  ") + line for line in fields),
        *wrapped(submit, width, "dim"),
    ]
