"""Rotation of the keys that encrypt tokens and the secrets of bots and webhooks, safe against a crash at any step."""

import asyncio
import fcntl
import os
from pathlib import Path

import sqlalchemy as sa

from flotilla.db.engine import Database
from flotilla.db.tables import bot_secrets, bots, webhooks
from flotilla.errors import SetupError
from flotilla.secrets import TokenVault, add_key, keep_newest_key


async def rotate_keys(key_file: Path, database: Database, grace_s: float = 0.0) -> int:
    """Encrypt every stored token and secret with a new key, then drop the other keys; return how many there were.

    grace_s: how long a program that runs now may take to store a token it encrypted with the key before.
    A token that none of the keys opens stays as it is, and then all keys stay too: nothing is ever lost by rotating.
    Raises SetupError (`rotation_running`, or `token_unreadable` after everything else was re-encrypted).
    """
    lock = os.open(key_file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SetupError("Another rotation runs. Wait until it has ended.", code="rotation_running") from None
    try:
        vault = TokenVault(key_file)
        add_key(key_file)
        count, unreadable = await _reencrypt_all(vault, database)
        if grace_s:
            await asyncio.sleep(grace_s)
            count, unreadable = await _reencrypt_all(vault, database)
        if unreadable:
            raise SetupError(
                f"{count} tokens were encrypted anew, but those of {', '.join(unreadable)} cannot be read with any key "
                f"in {key_file.name}, so every key was kept. Put the missing key back as a line of that file, or "
                "remove those bots, secrets or webhooks; then rotate again.",
                code="token_unreadable",
            )
        keep_newest_key(key_file)
        return count
    finally:
        os.close(lock)


async def _reencrypt_all(vault: TokenVault, database: Database) -> tuple[int, list[str]]:
    """Re-encrypt in one transaction; return how many, and the names of bots, secrets and webhooks nobody can read."""
    unreadable: list[str] = []
    count = 0
    of_bot = sa.literal("secret ") + bot_secrets.c.name + " of bot " + bot_secrets.c.bot_id
    kept = (
        (bots, bots.c.name, bots.c.token_encrypted),
        (bot_secrets, of_bot, bot_secrets.c.value_encrypted),
        (webhooks, sa.literal("webhook ") + webhooks.c.id, webhooks.c.secret_encrypted),
    )
    async with database.write() as connection:
        for table, name, secret in kept:
            keys = list(table.primary_key)
            query = sa.select(*keys, name.label("shown"), secret.label("secret"))
            # Rows are locked from the read on, so that one added or removed meanwhile is neither missed nor revived.
            for row in (await connection.execute(query.with_for_update(key_share=True))).all():
                try:
                    renewed = vault.reencrypt(bytes(row.secret))
                except SetupError:
                    unreadable.append(row.shown)
                    continue
                this = (key == getattr(row, key.name) for key in keys)
                await connection.execute(table.update().where(*this).values({secret.name: renewed}))
                count += 1
    return count, unreadable
