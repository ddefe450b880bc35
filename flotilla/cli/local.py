"""What is done on the installation itself, without the API: API keys, token keys, the database's shape."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from flotilla.cli.faults import CommandError
from flotilla.cli.terminal import say

api_keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys of the API (in the database itself).")
secrets = typer.Typer(no_args_is_help=True, help="The keys that encrypt bot tokens.")
db = typer.Typer(no_args_is_help=True, help="The database's shape.")
ROLES = ("viewer", "operator", "admin")
MAX_NAME_CHARS = 64


@api_keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What or whom it is for.")],
    role: Annotated[str, typer.Option("--role", help=f"One of: {', '.join(ROLES)}.")],
    days: Annotated[int | None, typer.Option("--days", min=1, max=36500, help="Days until it expires.")] = None,
) -> None:
    """Make a key and print it. It is shown this once."""
    from flotilla.db.keys import Role, SqlApiKeys  # noqa: PLC0415

    if role not in ROLES:
        raise typer.BadParameter(f"There is no role {role!r}. Choose one of: {', '.join(ROLES)}.")
    if not name.strip() or len(name) > MAX_NAME_CHARS:
        raise typer.BadParameter(f"A name has 1 to {MAX_NAME_CHARS} characters.")
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    say(_with_database(lambda database: SqlApiKeys(database).create(name, Role(role), expires_at)))


@api_keys.command("ls")
def list_keys() -> None:
    """List the keys that are not revoked."""
    from flotilla.cli.render import console, table  # noqa: PLC0415
    from flotilla.db.keys import SqlApiKeys  # noqa: PLC0415

    made = table("ID", "NAME", "ROLE", "EXPIRES")
    for key in _with_database(lambda database: SqlApiKeys(database).all()):
        made.add_row(key.id, key.name, key.role.value, _expiry(key.expires_at))
    console().print(made)


@api_keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Make a key worthless from now on."""
    from flotilla.db.keys import SqlApiKeys  # noqa: PLC0415

    if not _with_database(lambda database: SqlApiKeys(database).revoke(key_id, datetime.now(UTC))):
        raise CommandError(
            f"There is no live key with the id {key_id!r}. See: flotilla api-keys ls", code="key_unknown"
        )
    say(f"Revoked {key_id}.")


@secrets.command("rotate")
def rotate() -> None:
    """Encrypt all tokens and webhooks' secrets anew, then drop the old keys. Can be interrupted and run again."""
    from flotilla.db.engine import BUSY_TIMEOUT_S  # noqa: PLC0415
    from flotilla.home import ProgramLock  # noqa: PLC0415
    from flotilla.launch.rotation import rotate_keys  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    # The API may be waiting for the database with a token it has encrypted already; no write waits longer than this.
    grace_s = BUSY_TIMEOUT_S + 2.0 if ProgramLock(settings, "api").holder() else 0.0
    if grace_s:
        say(f"The API runs; waiting {grace_s:.0f} s for what it is storing …", flush=True)
    count = _with_database(lambda database: rotate_keys(settings.key_file, database, grace_s))
    say(f"Encrypted {count} tokens with a new key. The old keys are dropped.")


@db.command("upgrade")
def upgrade_database() -> None:
    """Bring the database to the shape this release needs."""
    from flotilla.db.schema import upgrade  # noqa: PLC0415

    _with_database(upgrade, current=False)
    say("The database has the shape of this release.")


def _expiry(at: datetime | None) -> str:
    if at is None:
        return "never"
    return f"{at:%Y-%m-%d %H:%M} UTC" + (" (expired)" if at <= datetime.now(UTC) else "")


def _with_database(work: Callable[[Any], Awaitable[Any]], *, current: bool = True) -> Any:  # noqa: ANN401 - what `work` returns
    """Run `work` on this installation's database. current: refuse unless it has this release's shape."""
    from flotilla.db.engine import Database  # noqa: PLC0415
    from flotilla.db.schema import require_current  # noqa: PLC0415
    from flotilla.home import prepare_home  # noqa: PLC0415
    from flotilla.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    prepare_home(settings)

    async def run() -> Any:  # noqa: ANN401
        database = Database(settings.effective_database_url)
        try:
            if current:
                await require_current(database)
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())
