"""`flotilla webhooks …`: who is told of what happens, and whether that works."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flotilla.cli.common import wait_until
from flotilla.cli.faults import CommandError
from flotilla.cli.terminal import say, say_json

if TYPE_CHECKING:
    from flotilla.cli.api import Api
    from flotilla.cli.drawing import RenderableType

TEST_WAIT_S = 15.0
SHOWN_DELIVERIES = 20

app = typer.Typer(no_args_is_help=True, help="Have what happens told to your own programs, signed.")
WebhookId = Annotated[str, typer.Argument(metavar="ID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List webhooks, with how they fare."""
    with _api() as api:
        found = list(api.pages("/webhooks"))
    if as_json:
        say_json(found)
    elif found:
        _print(webhooks_table(found, _now()))
    else:
        say("There are no webhooks. Add one: flotilla webhooks add https://…")


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(metavar="URL")],
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only this kind; several times.")] = None,
    bot: Annotated[list[str] | None, typer.Option("--bot", help="Only of this bot; several times.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only of bots with this tag; several times.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a webhook, and print the secret that its messages are signed with, this once."""
    with _api() as api:
        bots = [api.bot_named(name)["id"] for name in bot or ()]
        made = api.post("/webhooks", {"url": url, "kinds": kind or [], "bots": bots, "tags": tag or []})
    if as_json:
        say_json(made)
        return
    say(f"Added {made['webhook']['id']}. Its secret, shown this once:")
    say(made["secret"])
    say(f"Try it: flotilla webhooks test {made['webhook']['id']}")


@app.command("show")
def show(webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Show a webhook and its last deliveries."""
    with _api() as api:
        webhook = api.get(f"/webhooks/{webhook_id}")
        deliveries = list(itertools.islice(api.pages(f"/webhooks/{webhook_id}/deliveries"), SHOWN_DELIVERIES))
    if as_json:
        say_json({**webhook, "deliveries": deliveries})
        return
    _print(webhooks_table([webhook], _now()))
    for name in ("kinds", "bots", "tags"):
        say(f"{name}: {', '.join(webhook[name]) or 'all'}")
    if webhook["why_disabled"]:
        say(f"Switched off: {webhook['why_disabled']}")
    if webhook["dropped"]:
        say(f"{webhook['dropped']} happenings found its queue full.")
    if deliveries:
        _print(deliveries_table(deliveries, _now()))


@app.command("test")
def test(webhook_id: WebhookId) -> None:
    """Have a test message delivered, and say how that went. Exit code 1 if it did not arrive."""
    with _api() as api:
        sent = api.post(f"/webhooks/{webhook_id}/test")["id"]
        last: dict[str, Any] = {}

        def tried() -> bool:
            nonlocal last
            found = api.get(f"/webhooks/{webhook_id}/deliveries", limit=50)["items"]
            last = next((row for row in found if row["id"] == sent), {})
            return last.get("state") == "delivered" or bool(last.get("last_error"))

        wait_until(tried, TEST_WAIT_S)
        enabled = api.get(f"/webhooks/{webhook_id}")["enabled"]
    if last.get("state") == "delivered":
        say(f"Delivered, answered with status {last['last_status']}.")
        return
    why = last.get("last_error") or (
        "nobody has tried it yet; the jobs program may be away (flotilla status)"
        if enabled
        else f"the webhook is switched off; flotilla webhooks enable {webhook_id}"
    )
    raise CommandError(f"Not delivered: {why}. It is tried again later.", code="not_delivered")


@app.command("enable")
def enable(webhook_id: WebhookId) -> None:
    """Switch a webhook on; what waits for it is tried at once."""
    with _api() as api:
        api.patch(f"/webhooks/{webhook_id}", {"enabled": True})
    say(f"{webhook_id} is on.")


@app.command("disable")
def disable(webhook_id: WebhookId) -> None:
    """Switch a webhook off; what happens meanwhile is not told to it."""
    with _api() as api:
        api.patch(f"/webhooks/{webhook_id}", {"enabled": False})
    say(f"{webhook_id} is off.")


@app.command("rm")
def rm(webhook_id: WebhookId) -> None:
    """Remove a webhook with all that waits for it."""
    with _api() as api:
        api.delete(f"/webhooks/{webhook_id}")
    say(f"Removed {webhook_id}.")


def webhooks_table(found: Iterable[Mapping[str, Any]], now: datetime) -> "RenderableType":
    """Return a table of webhooks."""
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import moment, table  # noqa: PLC0415

    shown = table("ID", "URL", "STATE", "LAST", "WHEN", "FAILURES")
    for row in found:
        state = "on" if row["enabled"] else "off"
        style = "" if row["enabled"] and not row["failures"] else "yellow"
        last = row["last_error"] or row["last_status"] or "-"
        when = moment(row["last_at"], now) if row["last_at"] else "-"
        shown.add_row(
            row["id"], Text(row["url"]), Text(state, style=style), Text(str(last)), when, str(row["failures"])
        )
    return shown


def deliveries_table(found: Iterable[Mapping[str, Any]], now: datetime) -> "RenderableType":
    """Return a table of deliveries."""
    from flotilla.cli.drawing import Text  # noqa: PLC0415
    from flotilla.cli.render import ahead, moment, table  # noqa: PLC0415

    shown = table("DELIVERY", "KIND", "WHEN", "STATE", "ATTEMPTS", "LAST", "NEXT")
    for row in found:
        last = row["last_error"] or row["last_status"] or "-"
        following = ahead(row["next_at"], now) if row["next_at"] else "-"
        state, attempts = row["state"], str(row["attempts"])
        when = moment(row["created_at"], now)
        shown.add_row(row["id"], row["kind"], when, state, attempts, Text(str(last)), following)
    return shown


def _print(shown: "RenderableType") -> None:
    from flotilla.cli.render import console  # noqa: PLC0415

    console().print(shown)


def _now() -> datetime:
    from flotilla.cli.render import now  # noqa: PLC0415

    return now()


def _api() -> "Api":
    from flotilla.cli.api import Api  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    return Api.of(load_settings())
