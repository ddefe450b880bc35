"""`flotilla sandbox …`: users, faults, load and limits of a local Discord, through its control API.

A command imports its heavy modules when it runs. Nothing here knows the sandbox but by HTTP.
"""

import typer

from flotilla.cli.sandbox import acts, faults, limits, load, talk, world

_LOOK, _ACT, _TROUBLE = "Look", "Act as a user", "Make trouble"

app = typer.Typer(
    no_args_is_help=True,
    help="Play users, faults and load on a local Discord (`make demo` runs one).",
)
for panel, commands in {
    _LOOK: (world.apps, world.guilds, world.channels, talk.read, world.unknown, limits.addresses),
    _ACT: (acts.use, acts.complete, acts.press, acts.pick, acts.submit, acts.answer, talk.say, talk.dm),
    _TROUBLE: (faults.faults, faults.fault, faults.calm, load.load, load.loads, limits.limits, world.clock),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(world.app, name="app", rich_help_panel=_LOOK)
app.add_typer(world.guild, name="guild", rich_help_panel=_LOOK)
