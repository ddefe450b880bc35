"""The lines the bot tells, and how messages look in them."""

import json
import sys
from typing import Any

import discord


def tell(**line: Any) -> None:
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


def shown(message: discord.Message) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "author": message.author.name,
        "content": message.content,
        "embeds": [{"title": embed.title, "description": embed.description} for embed in message.embeds],
        "attachments": [{"filename": file.filename, "size": file.size} for file in message.attachments],
        "mentions": [str(user.id) for user in message.mentions],
        "reference": str(message.reference.message_id) if message.reference else None,
    }
