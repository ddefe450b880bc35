"""Messages as a person sees them, with what a person does not: ids to press and pick by. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flotilla.cli.drawing import Drawn, Text
from flotilla.cli.sandbox.components import component_lines
from flotilla.cli.sandbox.text import barred, one_line, plain, wrapped

Json = dict[str, Any]
EPHEMERAL, LOADING = 1 << 6, 1 << 7
"""Message flags. Source: Discord, "Message Resource", message flags."""
_REPLY = 19
_QUOTED_CHARS = 60
_INDENT = "  "


def conversation(messages: Iterable[Json], width: int) -> list[Drawn]:
    """Return messages as lines of at most `width` cells, with an empty one between two."""
    lines: list[Drawn] = []
    for message in messages:
        lines += [*([Text()] if lines else []), *message_lines(message, width)]
    return lines


def message_lines(message: Json, width: int) -> list[Drawn]:
    """Return a message as lines of at most `width` cells: who, when and which, text, embeds, components, files."""
    inner = width - len(_INDENT)
    body = [
        *wrapped(_content(message), inner),
        *(line for embed in message["embeds"] for line in _embed_lines(embed, inner)),
        *component_lines(message["components"], inner),
        *(Text(f"file {plain(file['filename'])} ({file['size']} bytes)") for file in message["attachments"]),
    ]
    return [*_context(message, width), _header(message), *(Text(_INDENT) + line for line in body)]


def _context(message: Json, width: int) -> list[Drawn]:
    """Return the line above a message that says what it answers."""
    quoted = message.get("referenced_message")
    if message["type"] == _REPLY and quoted:
        shown = one_line(quoted["content"])[:_QUOTED_CHARS] or "a message without text"
        line = f"↳ to {_name(quoted['author'])}: {shown}"
    elif message.get("interaction_metadata"):
        line = f"↳ for {_name(message['interaction_metadata']['user'])}"
    else:
        return []
    cut = Text(line, style="dim")
    cut.truncate(width, overflow="ellipsis")
    return [cut]


def _header(message: Json) -> Drawn:
    author = message["author"]
    at = datetime.fromisoformat(message["timestamp"]).astimezone()
    marks = [
        *(["edited"] if message.get("edited_timestamp") else []),
        *(["ephemeral: only who asked sees it"] if message["flags"] & EPHEMERAL else []),
    ]
    return Text.assemble(
        (_name(author), "bold"),
        *([(" BOT", "cyan")] if author.get("bot") or message.get("webhook_id") else []),
        (f"  {at:%H:%M:%S}  {message['id']}", "dim"),
        *((f"  ({mark})", "dim") for mark in marks),
    )


def _content(message: Json) -> Drawn:
    if message["flags"] & LOADING:
        return Text("… is thinking", style="italic dim")
    content = plain(message["content"])
    for user in message.get("mentions") or ():
        content = content.replace(f"<@{user['id']}>", f"@{_name(user)}").replace(f"<@!{user['id']}>", f"@{_name(user)}")
    return Text.block(content)


def _embed_lines(embed: Json, width: int) -> list[Drawn]:
    inner = width - 2
    lines: list[Drawn] = []
    if embed.get("author"):
        lines += wrapped(embed["author"].get("name", ""), inner, "dim")
    if embed.get("title"):
        lines += wrapped(embed["title"], inner, "bold")
    if embed.get("url"):
        lines += wrapped(embed["url"], inner, "dim")
    lines += wrapped(embed.get("description") or "", inner)
    for field in embed.get("fields") or ():
        name, value = Text.block(plain(field["name"]), "bold"), Text.block(plain(field["value"]))
        lines += wrapped(Text.assemble(name, "  ", value), inner)
    for key in ("image", "thumbnail"):
        if embed.get(key):
            lines += wrapped(f"{key} {embed[key].get('url', '')}", inner, "dim")
    if embed.get("footer"):
        lines += wrapped(embed["footer"].get("text", ""), inner, "dim")
    colour = embed.get("color")
    return barred(lines, f"#{colour:06x}" if colour else "dim")


def _name(user: Json) -> str:
    return one_line(user["username"])
