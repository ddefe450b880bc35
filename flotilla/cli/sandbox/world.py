"""What there is in the sandbox: applications, guilds, channels; and its clock."""

from typing import TYPE_CHECKING, Annotated

import typer

from flotilla.cli.sandbox import values
from flotilla.cli.sandbox.options import AsJson, Bot, Bots, Url, sandbox, tell
from flotilla.cli.terminal import say

if TYPE_CHECKING:
    from flotilla.cli.connection import Json

app = typer.Typer(no_args_is_help=True, help="Add an application, look at one.")
guild = typer.Typer(no_args_is_help=True, help="Add guilds.")


def apps(as_json: AsJson = False, url: Url = None) -> None:
    """List the applications: their connections, session starts, guilds and commands."""
    from flotilla.cli.sandbox.tables import applications_table  # noqa: PLC0415 - rich is slow to load

    with sandbox(url) as (_, names):
        found = names.applications
    if found or as_json:
        tell(found, lambda _: [applications_table(found)], as_json=as_json)
    else:
        say("There are no applications yet. Add one with: flotilla sandbox app add NAME")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    show_token: Annotated[
        bool, typer.Option("--show-token", help="Print the bot token too, on a line of its own.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make an application, or find it by its name; print its id, and what to run a bot with."""
    with sandbox(url) as (control, _):
        made = control.post("/applications", {"name": name})
    if not show_token:
        made.pop("token", None)
    tell(made, lambda _: [made["id"], *([made["token"]] if show_token else [])], as_json=as_json)


@app.command("show")
def show(bot: Bot, as_json: AsJson = False, url: Url = None) -> None:
    """Show everything known of an application, with the commands it has registered."""
    from flotilla.cli.sandbox.tables import application_details  # noqa: PLC0415

    with sandbox(url) as (_, names):
        found = names.application(bot)
    tell(found, lambda _: [application_details(found)], as_json=as_json)


def guilds(as_json: AsJson = False, url: Url = None) -> None:
    """List the guilds."""
    from flotilla.cli.sandbox.tables import guilds_table  # noqa: PLC0415

    with sandbox(url) as (_, names):
        tell(names.guilds, lambda _: [guilds_table(names.guilds, names.name_of)], as_json=as_json)


@guild.command("add")
def add_guild(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    bot: Bots = None,
    members: Annotated[int, typer.Option("--members", min=0, help="People beside its owner and the bots.")] = 0,
    channels: Annotated[
        str, typer.Option("--channels", help="Names of text channels, separated by commas.")
    ] = "general",
    count: Annotated[int, typer.Option("--count", min=1, help="How many guilds, all alike.")] = 1,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make guilds; the bots in them hear of it at once."""
    from flotilla.cli.sandbox.tables import guilds_table  # noqa: PLC0415

    with sandbox(url) as (control, names):
        body: Json = {
            "name": name,
            "applications": names.application_ids(bot) or [],
            "members": members,
            "channels": [each.strip().removeprefix("#") for each in channels.split(",") if each.strip()],
            "count": count,
        }
        made = control.post("/guilds", body)["items"]
        tell(made, lambda _: [guilds_table(made, names.name_of)], as_json=as_json)


def channels(
    wanted: Annotated[str, typer.Argument(metavar="GUILD", help="By name or id; or a bot, for its home guild.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the channels of a guild."""
    from flotilla.cli.sandbox.tables import channels_table  # noqa: PLC0415

    with sandbox(url) as (_, names):
        found = names.guild(wanted)["channels"]
    tell(found, lambda _: [channels_table(found)], as_json=as_json)


def clock(
    advance: Annotated[str, typer.Option("--advance", metavar="DURATION", help="Such as 90s, 15m, 1h.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Move the sandbox's time ahead: sessions, interactions and rate limits grow old at once."""
    with sandbox(url) as (control, _):
        answer = control.post("/clock", {"advance_s": values.seconds(advance)})
    tell(answer, lambda _: [f"It is {answer['now']} in the sandbox now."], as_json=as_json)


def unknown(as_json: AsJson = False, url: Url = None) -> None:
    """List the requests of bots for routes that the sandbox does not have."""
    from flotilla.cli.sandbox.tables import unknown_table  # noqa: PLC0415

    with sandbox(url) as (control, _):
        found = control.items("/unknown")
    if found or as_json:
        tell(found, lambda _: [unknown_table(found)], as_json=as_json)
    else:
        say("Every request was for a route that the sandbox has.")
