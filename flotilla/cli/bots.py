"""`flotilla bots …`: add, look at and steer bots, through the API."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli import bot_secrets, config, inspect, memory, policy
from flotilla.cli.common import wait_until
from flotilla.cli.faults import ApiError, CommandError
from flotilla.cli.terminal import ask, say, say_json
from flotilla.cli.token import TAKES_ANYTHING, read_token, refuse_argv
from flotilla.discord import application_id_of

if TYPE_CHECKING:
    from flotilla.cli.api import Api

WAIT_S = 60.0
REMOVE_WAIT_S = 20.0

app = typer.Typer(no_args_is_help=True, help="Add, look at and steer bots.")

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Names of bots.")]
Extra = Annotated[list[str] | None, typer.Argument(hidden=True)]
OptionalNames = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Names of bots.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait up to 60 s until it is so.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("add", context_settings=TAKES_ANYTHING)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, dots, hyphens.")],
    extra: Extra = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be given several times.")] = None,
    stopped: Annotated[bool, typer.Option("--stopped", help="Add it without starting it.")] = False,
) -> None:
    """Add a bot. The token is asked for, or read from the first line of stdin."""
    refuse_argv(extra or (), "flotilla bots add NAME")
    with _api() as api:
        body: dict[str, Any] = {"name": name, "token": read_token("flotilla bots add NAME"), "tags": tag or []}
        if stopped:
            body["desired"] = "stopped"
        bot = api.post("/bots", body)
    say(f"Added {bot['name']}. " + ("Start it with" if stopped else "See how it starts with") + _next(name, stopped))


@app.command("token", context_settings=TAKES_ANYTHING)
def token(name: Annotated[str, typer.Argument(metavar="NAME")], extra: Extra = None, wait: Wait = True) -> None:
    """Give a bot another token of the same application, and start it with that; all else that it has stays.

    The token is asked for, or read from the first line of stdin.
    """
    refuse_argv(extra or (), "flotilla bots token NAME")
    with _api() as api:
        before = api.bot_named(name)
        given = read_token("flotilla bots token NAME")
        if application_id_of(given) != before["application_id"]:
            # Told here as well, so that a token of somebody else's bot does not leave this host.
            raise CommandError(
                f"This token belongs to application {application_id_of(given)}, {name} to application "
                f"{before['application_id']}. Copy that one's from the Developer Portal.",
                code="token_of_another",
            )
        bot = api.put(f"/bots/{before['id']}/token", {"token": given})
        if bot["desired"] == "stopped":
            say(f"{name} has its new token. It is stopped; start it with: flotilla bots start {name}")
        elif not wait:
            say(f"{name} has its new token and starts with it. See how: flotilla bots show {name}")
        else:
            _follow(api, "token", [before])


@app.command("ls")
def ls(
    tag: Annotated[str | None, typer.Option("--tag", help="Only bots with this tag.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only bots in this state, such as FATAL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List bots."""
    with _api() as api:
        found = list(api.pages("/bots", tag=tag, state=state.upper() if state else None))
    if as_json:
        say_json(found)
        return
    from flotilla.cli.render import bots_table, console  # noqa: PLC0415

    if found:
        console().print(bots_table(found))
    else:
        say("No bot matches." if tag or state else "There are no bots yet. Add one with: flotilla bots add NAME")


@app.command("show")
def show(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Show everything known of a bot: what it does, why, and what to do about it."""
    with _api() as api:
        bot = api.bot_named(name)
        uptime = api.get(f"/bots/{bot['id']}/uptime")
    from flotilla.cli.render import bot_details, console, now  # noqa: PLC0415
    from flotilla.domain.reasons import REASONS  # noqa: PLC0415

    known = REASONS.get(str(bot.get("reason_code") or ""))
    console().print(bot_details(bot, known.explanation if known else None, now(), uptime))


app.command("inspect")(inspect.inspect)
app.command("stacks")(inspect.stacks)
app.command("heap")(memory.heap)
app.command("policy")(policy.policy)
app.command("config")(config.config)
app.command("secrets", context_settings=TAKES_ANYTHING)(bot_secrets.secrets)


@app.command("start")
def start(names: Names, wait: Wait = True) -> None:
    """Start bots, those that gave up included."""
    ask_each(names, "start", wait=wait)


@app.command("stop")
def stop(names: Names, wait: Wait = True) -> None:
    """Stop bots."""
    ask_each(names, "stop", wait=wait)


@app.command("restart")
def restart(
    names: OptionalNames = None,
    wait: Wait = True,
    everything: Annotated[bool, typer.Option("--all", help="Every bot, as an operation.")] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Bots with this tag, as an operation.")] = None,
    yes: Yes = False,
) -> None:
    """Restart bots by name, or many of them as an operation that shows its cost first."""
    if sum((bool(names), everything, bool(tag))) != 1:
        raise typer.BadParameter("Say which bots: names, or --all, or --tag.")
    if names:
        ask_each(names, "restart", wait=wait)
        return
    from flotilla.cli.operations import run_restart  # noqa: PLC0415

    with _api() as api:
        run_restart(api, {"all": True} if everything else {"tags": tag}, yes=yes, wait=wait)


@app.command("sync")
def sync(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Register a bot's commands with Discord again, when somebody changed them elsewhere."""
    with _api() as api:
        bot = api.post(f"/bots/{api.bot_named(name)['id']}/sync-commands")
    if bot["state"] == "STOPPED":
        say(f"{name} is stopped; it registers its commands when it starts.")
    else:
        say(f"{name} registers its commands now. See how it went with: flotilla happenings {name}")


@app.command("rm")
def rm(name: Annotated[str, typer.Argument(metavar="NAME")], yes: Yes = False) -> None:
    """Remove a bot and its token for good."""
    with _api() as api:
        bot = api.bot_named(name)
        if not yes:
            ask(f"Remove {name} (application {bot.get('application_id')}) for good?")
        api.delete(f"/bots/{bot['id']}")
        if not api.readiness().get("supervisor", {}).get("ok"):
            say(f"{name} will be removed. There is no supervisor now; it stops and removes the bot when it is back.")
            return
        if not wait_until(lambda: _is_gone(api, bot["id"]), REMOVE_WAIT_S):
            raise CommandError(f"{name} is still being stopped; it is removed after that.", code="still_removing")
    say(f"Removed {name}.")


def _next(name: str, stopped: bool) -> str:
    return f": flotilla bots {'start' if stopped else 'show'} {name}"


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())


def _is_gone(api: "Api", bot_id: str) -> bool:
    try:
        api.get(f"/bots/{bot_id}")
    except ApiError as fault:
        if fault.status == 404:  # noqa: PLR2004 - HTTP's own number
            return True
        raise
    return False


def ask_each(names: list[str], action: str, *, wait: bool) -> None:
    """Ask `action` of every bot called so, then wait for all. Unknown names are told before anything is done."""
    with _api() as api:
        before = [api.bot_named(name) for name in dict.fromkeys(names)]
        for bot in before:
            api.post(f"/bots/{bot['id']}/{action}")
        if not wait:
            say(f"Asked for {action} of {', '.join(bot['name'] for bot in before)}.")
            return
        _follow(api, action, before)


def _follow(api: "Api", action: str, before: list[dict[str, Any]]) -> None:
    """Return when `action` is done for all bots. Raises CommandError (`timeout`), and Exit if it failed for one."""
    waiting = _Waiting(api, action, before)
    if not wait_until(waiting.settled, WAIT_S):
        raise CommandError(
            f"After {WAIT_S:.0f} s not done yet: {', '.join(waiting.late())}. See: flotilla bots show NAME",
            code="timeout",
        )
    if waiting.failed:
        raise typer.Exit(1)


class _Waiting:
    """Follows bots until what was asked of each is done or has failed, and tells each once."""

    def __init__(self, api: "Api", action: str, before: list[dict[str, Any]]) -> None:
        self._api = api
        self._action = action
        self._open = {bot["id"]: bot for bot in before}
        self.failed = False

    def settled(self) -> bool:
        for bot_id, bot in list(self._open.items()):
            outcome = _outcome(self._action, bot, self._api.get(f"/bots/{bot_id}"))
            if outcome is None:
                continue
            del self._open[bot_id]
            self.failed |= bool(outcome)
            say(f"{bot['name']}: {outcome or _DONE[self._action]}", err=bool(outcome))
        return not self._open

    def late(self) -> list[str]:
        return [bot["name"] for bot in self._open.values()]


_DONE = {"start": "ready", "stop": "stopped", "restart": "ready again", "token": "ready with its new token"}


def _outcome(action: str, before: dict[str, Any], bot: dict[str, Any]) -> str | None:
    """Return None while `action` is not done, "" when it is, or why it failed."""
    if action == "stop":
        return "" if bot["state"] == "STOPPED" else None
    is_next = bot["generation"] > before["generation"]
    if bot["ready"] and (is_next or action == "start"):
        return ""
    # A bot that was FATAL before stays so until the supervisor has seen the order; one that ran may just now have
    # become so by the token before.
    tried = is_next or (action != "token" and (before["state"] != "FATAL" or bot["since"] != before["since"]))
    if bot["state"] == "FATAL" and tried:
        return f"{bot.get('reason') or 'gave up'}. {bot.get('remedy') or ''}".strip()
    return None
