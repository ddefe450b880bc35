"""Faults on demand: what there is, what is asked for, and calm again."""

from typing import Annotated, Any

import typer

from flotilla.cli.sandbox import values
from flotilla.cli.sandbox.options import AsJson, Bots, Url, sandbox, tell
from flotilla.cli.terminal import say

Json = dict[str, Any]
Duration = "DURATION"


def faults(as_json: AsJson = False, url: Url = None) -> None:
    """List the faults that are scheduled, active, or over not long ago, and how often each struck."""
    with sandbox(url) as (control, names):
        found = control.items("/faults")
        if found or as_json:
            _tell(found, found, names, as_json=as_json)
        else:
            say("All is calm. Ask for trouble with: flotilla sandbox fault KIND")


def fault(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="See: flotilla sandbox fault --kinds")] = None,
    bot: Bots = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar=Duration, help="How long; default: until `calm`.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar=Duration, help="When it begins; default: now.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar=Duration, help="Strike connections again and again.")
    ] = None,
    probability: Annotated[
        float | None, typer.Option("--probability", min=0, max=1, help="The chance of each strike; default: 1.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Repeats the strikes of an earlier fault.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A field of this kind.")
    ] = None,
    kinds: Annotated[bool, typer.Option("--kinds", help="List the kinds and their fields instead.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Let something go wrong for all bots, or for those of --bot."""
    if kinds:
        _tell_kinds(url, as_json=as_json)
        return
    if kind is None:
        raise typer.BadParameter("Say which kind; `flotilla sandbox fault --kinds` lists them.")
    body: Json = values.pairs(parameter) | {
        "after_s": values.optional_seconds(after),
        "for_s": values.optional_seconds(lasting),
        "every_s": values.optional_seconds(every),
        "probability": probability,
        "seed": seed,
    }
    with sandbox(url) as (control, names):
        body |= {"kind": kind, "applications": names.application_ids(bot)}
        made = control.post("/faults", {name: value for name, value in body.items() if value is not None})
        _tell(made, [made], names, as_json=as_json)
        if not as_json:
            say(f"End it with: flotilla sandbox calm {made['id']}")


def calm(
    fault_id: Annotated[int | None, typer.Argument(metavar="ID", help="Of a fault; default: all of them.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """End one fault, or all of them."""
    with sandbox(url) as (control, names):
        path = "/faults" if fault_id is None else f"/faults/{fault_id}"
        answer = control.delete(path)
        ended = answer["items"] if fault_id is None else [answer]
        if ended or as_json:
            _tell(ended, ended, names, as_json=as_json)
        else:
            say("All was calm already.")


def _tell(answer: Json | list[Json], shown: list[Json], names: Any, *, as_json: bool) -> None:  # noqa: ANN401 - Names
    from flotilla.cli.sandbox.faults_view import faults_table  # noqa: PLC0415 - rich is slow to load

    tell(answer, lambda _: [faults_table(shown, names.name_of)], as_json=as_json)


def _tell_kinds(url: str | None, *, as_json: bool) -> None:
    from flotilla.cli.sandbox.faults_view import kinds_table  # noqa: PLC0415

    with sandbox(url) as (control, _):
        found = control.items("/faults/kinds")
    explained = (
        "Every kind takes --bot, --for, --after, --probability and --seed; those marked * strike connections at a "
        "moment and take --every too. The fields go into -p NAME=VALUE."
    )
    tell(found, lambda _: [kinds_table(found), explained], as_json=as_json)
