"""`flotilla ops …` and the bulk restart: many bots at once, with the cost shown first."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.common import wait_until
from flotilla.cli.terminal import ask, end_line, rewrite_line, say

if TYPE_CHECKING:
    from flotilla.cli.api import Api

FINISHED = {"succeeded", "failed", "cancelled"}
WAIT_S = 24 * 3600.0

app = typer.Typer(no_args_is_help=True, help="Look at bulk operations, and cancel them.")
OperationId = Annotated[str, typer.Argument(metavar="ID")]


@app.command("ls")
def ls() -> None:
    """List operations, the newest first."""
    from flotilla.cli.render import console, now, operations_table  # noqa: PLC0415

    with _api() as api:
        found = api.get("/operations", limit=50)["items"]
    if found:
        console().print(operations_table(found, now()))
    else:
        say("There are no operations yet.")


@app.command("show")
def show(operation_id: OperationId) -> None:
    """Show an operation and what became of each bot."""
    from flotilla.cli.render import console, items_table, now, operations_table  # noqa: PLC0415

    with _api() as api:
        operation = api.get(f"/operations/{operation_id}")
        items = list(api.pages(f"/operations/{operation_id}/items"))
    console().print(operations_table([operation], now()))
    console().print()
    console().print(items_table(items))


@app.command("cancel")
def cancel(operation_id: OperationId) -> None:
    """Cancel what an operation has not begun yet."""
    with _api() as api:
        operation = api.post(f"/operations/{operation_id}/cancel")
    say(f"Operation {operation_id} is {operation.get('state', 'cancelled')}; bots in motion are finished.")


def run_restart(api: "Api", selector: dict[str, Any], *, yes: bool, wait: bool) -> None:
    """Restart the selected bots as one operation: show the cost, ask, follow it. Exit code 1 if a bot failed."""
    order = {"kind": "restart", "selector": selector}
    cost = api.post("/operations", {**order, "dry_run": True})
    say(
        f"This restarts {cost['total']} bots and spends at most {cost['session_starts']} session starts"
        + (
            f"; {_number(cost.get('skipped'))} are skipped because they do not run"
            if _number(cost.get("skipped"))
            else ""
        )
        + "."
    )
    for names, what in (
        (cost.get("from_reserve"), "would need session starts that are kept for people"),
        (
            cost.get("refused"),
            "have no session starts left, and must wait if their sessions cannot be resumed",
        ),
    ):
        if names:
            say(f"{_number(names)} {what}: {', '.join(names)}")
    if not cost["total"]:
        return
    if not yes:
        ask("Go on?")
    operation = api.post("/operations", order)
    if not wait:
        say(f"Operation {operation['id']} has begun. Follow it with: flotilla ops show {operation['id']}")
        return
    _follow(api, operation)


def _number(value: Any) -> int:  # noqa: ANN401 - a count, or the list of what is counted
    return len(value) if isinstance(value, list) else int(value or 0)


def _follow(api: "Api", operation: dict[str, Any]) -> None:
    from flotilla.cli.render import item_name, progress  # noqa: PLC0415

    shown = ""
    last = operation

    def finished() -> bool:
        nonlocal shown, last
        last = api.get(f"/operations/{operation['id']}")
        text = progress(last)
        if text != shown:
            shown = text
            rewrite_line(f"{text} …")
        return last["state"] in FINISHED

    wait_until(finished, WAIT_S)
    end_line()
    failed = [item for item in api.pages(f"/operations/{operation['id']}/items") if item["state"] == "failed"]
    for item in failed:
        say(f"{item_name(item)}: {item.get('detail') or 'failed'}", err=True)
    say(f"Operation {operation['id']} {last['state']}: {progress(last)}.")
    if last["state"] != "succeeded":
        raise typer.Exit(1)


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
