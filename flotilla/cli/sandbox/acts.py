"""What users do with bots: use commands, press, pick, fill in forms, type; and what the bots answer."""

from typing import Annotated, Any

import typer

from flotilla.cli.common import wait_until
from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.sandbox import values
from flotilla.cli.sandbox.options import (
    AsJson,
    Bot,
    Channel,
    CustomId,
    InPrivate,
    Locale,
    Message,
    Url,
    User,
    Values,
    sandbox,
    tell,
)

Json = dict[str, Any]
Wait = Annotated[str, typer.Option("--wait", help="How long to wait for what the bot deferred.")]
OnUser = Annotated[str | None, typer.Option("--on-user", help="A context-menu command, on this user.")]
OnMessage = Annotated[
    str | None, typer.Option("--on-message", help="A context-menu command, on the message of this id.")
]
Command = Annotated[str, typer.Argument(metavar="COMMAND", help="Such as /ping or '/stock show'.")]


def use(
    bot: Bot,
    command: Command,
    option: Values = None,
    user: User = None,
    channel: Channel = None,
    dm: InPrivate = False,
    locale: Locale = "en-US",
    on_user: OnUser = None,
    on_message: OnMessage = None,
    wait: Wait = "10s",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Use a command as a user does; print what the bot answers. Exit code 1 if it does not."""
    body = _doing(user, channel, locale, dm=dm) | {"options": values.pairs(option)}
    body["command"] = values.command_name(command)
    if on_user is not None or on_message is not None:
        target_id = on_message if on_user is None else values.user_id(on_user)
        body |= {"command": command, "on": "message" if on_user is None else "user", "target_id": target_id}
    _act(url, bot, "interactions", body, wait=wait, as_json=as_json)


def complete(
    bot: Bot,
    command: Command,
    option: Values = None,
    focus: Annotated[str | None, typer.Option("--focus", help="The option being typed; default: the last one.")] = None,
    user: User = None,
    channel: Channel = None,
    dm: InPrivate = False,
    locale: Locale = "en-US",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Type into an option of a command; print the choices the bot offers."""
    given = values.pairs(option)
    if not given and focus is None:
        raise typer.BadParameter("Say what is typed: --option NAME=TEXT.")
    body = _doing(user, channel, locale, dm=dm) | {"command": values.command_name(command), "options": given}
    body["focused"] = focus or list(given)[-1]
    _act(url, bot, "autocomplete", body, as_json=as_json)


def press(
    bot: Bot,
    message: Message,
    custom_id: CustomId,
    user: User = None,
    channel: Channel = None,
    dm: InPrivate = False,
    locale: Locale = "en-US",
    wait: Wait = "10s",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Press a button of a bot's message."""
    body = _doing(user, channel, locale, dm=dm) | {"message_id": message, "custom_id": custom_id}
    _act(url, bot, "components", body, wait=wait, as_json=as_json)


def pick(
    bot: Bot,
    message: Message,
    custom_id: CustomId,
    value: Annotated[list[str], typer.Argument(metavar="VALUE…", help="Values of a menu, or ids.")],
    user: User = None,
    channel: Channel = None,
    dm: InPrivate = False,
    locale: Locale = "en-US",
    wait: Wait = "10s",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Pick from a menu of a bot's message."""
    body = _doing(user, channel, locale, dm=dm) | {"message_id": message, "custom_id": custom_id, "values": value}
    _act(url, bot, "components", body, wait=wait, as_json=as_json)


def submit(
    bot: Bot,
    interaction: Annotated[str, typer.Argument(metavar="INTERACTION", help="What the form was opened by.")],
    field: Annotated[
        list[str] | None, typer.Option("--field", "-f", metavar="NAME=VALUE", help="A field of the form.")
    ] = None,
    locale: Locale = "en-US",
    wait: Wait = "10s",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Submit a form that a bot opened."""
    body = {"interaction_id": interaction, "fields": values.fields(field), "locale": locale}
    _act(url, bot, "modals", body, wait=wait, as_json=as_json)


def answer(
    bot: Bot,
    interaction: Annotated[str, typer.Argument(metavar="INTERACTION")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show what became of an interaction: a deferred answer, follow-ups."""
    with sandbox(url) as (control, names):
        application = names.application(bot)
        report = control.get(f"/applications/{application['id']}/interactions/{interaction}")
    _tell(report, str(application["name"]), as_json=as_json)


def _doing(user: str | None, channel: str | None, locale: str, *, dm: bool) -> Json:
    if dm and channel is not None:
        raise typer.BadParameter("Give --channel or --dm, not both.")
    return {"user": values.person(user), "channel_id": channel, "dm": dm, "locale": locale}


def _act(url: str | None, bot: str, call: str, body: Json, *, as_json: bool, wait: str = "0s") -> None:
    wait_s = values.seconds(wait)
    with sandbox(url) as (control, names):
        application = names.application(bot)
        path = f"/applications/{application['id']}"
        if body.get("channel_id"):
            body["channel_id"] = names.channel(body["channel_id"], application)
        if "message_id" in body and not body["dm"]:
            from flotilla.cli.sandbox.finding import find_message  # noqa: PLC0415

            body |= find_message(control, names, application, body["message_id"], body["channel_id"])
        try:
            report = control.post(f"{path}/{call}", body)
        except ApiError as fault:
            raise _hinted(fault, body, application) from None
        from flotilla.cli.sandbox.answers import awaits_answer  # noqa: PLC0415 - rich is slow to load

        if awaits_answer(report) and wait_s:
            report = _awaited(control, f"{path}/interactions/{report['interaction_id']}", report, wait_s)
    _tell(report, str(application["name"]), as_json=as_json, may_wait=wait_s > 0)


def _hinted(fault: ApiError, body: Json, bot: Json) -> ApiError:
    """Return a refusal with what may be behind it: a bot that is not there, a value taken for what it is not."""
    if fault.code == "unknown_command" and not bot["sessions_connected"]:
        return ApiError(f"{fault.message} {bot['name']} is not connected.", code=fault.code, status=fault.status)
    guessed = [name for name, value in (body.get("options") or {}).items() if not isinstance(value, str | dict)]
    named = next((name for name in guessed if f"{name!r} takes a value" in fault.message), None)
    if named is None:
        return fault
    hint = f"{fault.message} If it takes text, write {named}:='\"…\"'."
    return ApiError(hint, code=fault.code, status=fault.status)


def _awaited(control: Any, path: str, report: Json, wait_s: float) -> Json:  # noqa: ANN401 - a Control
    from flotilla.cli.sandbox.answers import awaits_answer  # noqa: PLC0415

    last = report

    def answered() -> bool:
        nonlocal last
        last = report | control.get(path)
        return not awaits_answer(last)

    wait_until(answered, wait_s)
    return last


def _tell(report: Json, bot: str, *, as_json: bool, may_wait: bool = True) -> None:
    from flotilla.cli.sandbox.answers import answer_lines, awaits_answer, failure  # noqa: PLC0415

    why = failure(report, bot)
    if why is not None and not may_wait and awaits_answer(report):
        why = None
    if why is not None and not as_json:
        raise CommandError(why, code=str(report["status"]))
    tell(report, lambda width: answer_lines(report, bot, width), as_json=as_json)
    if why is not None:
        raise typer.Exit(1)
