"""`flotilla bots config`: how a bot is to be, and how that is changed and gone back from."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.terminal import say_json

if TYPE_CHECKING:
    from flotilla.cli.api import Api
    from flotilla.cli.drawing import RenderableType

MAX_FILE_BYTES = 1024 * 1024
"""Of a file that is read; the API takes far less."""

_WORDS: dict[str, Any] = {"default": None, "null": None, "true": True, "on": True, "false": False, "off": False}
_EFFECTS = {
    "none": "Nothing changes for the bot.",
    "live": "It holds at once, without a restart.",
    "warm_restart": "It takes a warm restart: the session is kept, no session start is spent.",
    "new_session": "It takes a new session: one of the bot's 1,000 session starts of 24 hours.",
}


def config(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]…",
            help="What to change, such as presence.activity=chess or owners='[\"123…\"]'; FIELD=default goes back.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="A JSON or TOML file that the config is to be; what is not in it is as by default."
        ),
    ] = None,
    rollback: Annotated[
        int | None, typer.Option("--rollback", metavar="VERSION", help="Set this version anew.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="List the versions that there were.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change, and what it takes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how a bot is to be, or change it."""
    if sum((bool(changes), file is not None, rollback is not None, history)) > 1:
        raise typer.BadParameter("give either changes, --file, --rollback or --history")
    patch = _patch(changes or ())
    whole = None if file is None else _read(file)
    query = {"dry_run": "true"} if dry_run else {}
    with _api() as api:
        path = f"/bots/{api.bot_named(name)['id']}/config"
        if history:
            found, shown = api.get(f"{path}/history"), history_table
        elif rollback is not None:
            found, shown = api.post(f"{path}/rollback", {"version": rollback}, **query), changed_text
        elif whole is not None:
            found, shown = api.patch(path, _replacing(api.get(path)["config"], whole), **query), changed_text
        elif patch:
            found, shown = api.patch(path, patch, **query), changed_text
        else:
            found, shown = api.get(path), config_text
    if as_json:
        say_json(found)
        return
    from flotilla.cli.render import console  # noqa: PLC0415

    console().print(shown(found))


def _patch(changes: "tuple[str, ...] | list[str]") -> dict[str, Any]:
    """Return a merge patch out of FIELD=VALUE; a dot goes into an object. What may be is the API's to say."""
    patch: dict[str, Any] = {}
    for text in changes:
        field, equals, value = text.partition("=")
        *outer, last = field.split(".")
        if not equals or not all((*outer, last)):
            raise typer.BadParameter(f"{text!r} is not FIELD=VALUE, such as presence.activity=chess")
        place = patch
        for part in outer:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise typer.BadParameter(f"{text!r} changes a part of what another argument sets as a whole")
            place = inner
        place[last] = _value(value)
    return patch


def _value(text: str) -> Any:  # noqa: ANN401 - JSON
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise typer.BadParameter(f"{file} is larger than a config may be")
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except OSError as fault:
        raise typer.BadParameter(f"{file} cannot be read: {fault.strerror}") from None
    except (ValueError, RecursionError) as fault:
        raise typer.BadParameter(f"{file} is not {'TOML' if file.suffix == '.toml' else 'JSON'}: {fault}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} has no object in it")
    return found


def _replacing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes `after` out of `before`."""
    patch: dict[str, Any] = dict.fromkeys(name for name in before if name not in after)
    for name, value in after.items():
        was = before.get(name)
        both = isinstance(was, dict) and isinstance(value, dict)
        patch[name] = _replacing(was, value) if both else value  # type: ignore[arg-type] # both are
    return patch


def config_text(found: dict[str, Any]) -> "RenderableType":
    """Return a config with its version, and why it is not run with if so."""
    lines = [_pretty(found["config"]), ""]
    running = found["running"]
    runs = "the bot does not run" if running is None else f"the bot runs version {running}"
    lines.append(f"Version {found['version']}; {runs}.")
    refused = found["refused"]
    if refused:
        back = "" if refused["runs"] is None else f" The bot went back to version {refused['runs']}."
        lines += [f"Refused: {refused['reason']}. {refused['detail']}{back}", refused["remedy"]]
    return _plain(lines)


def changed_text(found: dict[str, Any]) -> "RenderableType":
    """Return what changes and what that takes."""
    if not found["changes"]:
        return _plain(["It is so already."])
    lines = [
        f"{change['field']}: {_pretty(change['before'])} -> {_pretty(change['after'])}  ({change['effect']})"
        for change in found["changes"]
    ]
    lines += ["", _EFFECTS.get(found["effect"], found["effect"])]
    if found["switch_on"]:
        names = ", ".join(found["switch_on"])
        lines.append(f"Switch on in the Developer Portal first (Bot, Privileged Gateway Intents): {names}")
    lines.append("Nothing has been changed." if found["dry_run"] else f"This is version {found['version']}.")
    return _plain(lines)


def history_table(found: dict[str, Any]) -> "RenderableType":
    """Return the versions, newest first."""
    from flotilla.cli.render import table  # noqa: PLC0415

    shown = table("VERSION", "AT", "BY", "CONFIG")
    for row in found["items"]:
        at = str(row["at"]).partition(".")[0].replace("T", " ").removesuffix("Z")
        shown.add_row(str(row["version"]), at, row["changed_by"] or "-", _pretty(row["config"]))
    return shown


def _pretty(value: object) -> str:
    return "default" if value is None else json.dumps(value, ensure_ascii=False)


def _plain(lines: list[str]) -> "RenderableType":
    from flotilla.cli.drawing import Text  # noqa: PLC0415

    return Text.lines(lines)


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
