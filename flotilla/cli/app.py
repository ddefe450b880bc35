"""The commands of the top level, and where the groups hang. A command imports its heavy modules when it runs."""

from typing import Annotated

import typer

from flotilla.cli import (
    bots,
    commands,
    extensions,
    happenings,
    local,
    logs,
    operations,
    run,
    sandbox,
    status,
    stock,
    supervisor,
    upgrade,
    webhooks,
)
from flotilla.cli.terminal import Group, say

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run a fleet of Discord bots: one supervised process per bot.",
    epilog="Settings come from FLOTILLA_… variables; docs/settings.md lists them.",
)
app.add_typer(bots.app, name="bots")
app.add_typer(operations.app, name="ops")
app.add_typer(stock.app, name="stock")
app.add_typer(supervisor.app, name="supervisor")
app.add_typer(extensions.app, name="extensions")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(local.api_keys, name="api-keys")
app.add_typer(local.secrets, name="secrets")
app.add_typer(local.db, name="db")
app.add_typer(sandbox.app, name="sandbox")
app.command()(run.up)
app.command()(run.down)
app.command(hidden=True)(run.welcome)
app.command(hidden=True)(run.sweep)
app.command()(upgrade.upgrade)
app.command()(status.status)
app.command()(logs.logs)
app.command()(happenings.happenings)
app.command()(commands.commands)
app.command()(run.doctor)


def _version(asked: bool) -> None:
    if asked:
        from flotilla.release import release_on_disk  # noqa: PLC0415 - settings are slow to load

        say(f"flotilla {release_on_disk()}")
        raise typer.Exit


@app.callback()
def top_level(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run a fleet of Discord bots: one supervised process per bot."""
