"""How messages look: the object that a checked body makes, and what an edit makes of it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from sandbox.messages import components, embeds
from sandbox.messages.attachments import Attachment
from sandbox.messages.rules import IS_COMPONENTS_V2, SUPPRESS_EMBEDS
from sandbox.world.objects import Json, timestamp
from sandbox.world.users import User

DEFAULT, PINNED, REPLY, CHAT_INPUT_COMMAND, CONTEXT_MENU_COMMAND = 0, 6, 19, 20, 23
_USER_MENTION = re.compile(r"<@!?(\d{1,20})>")
_ROLE_MENTION = re.compile(r"<@&(\d{1,20})>")


def create(
    body: Json,
    message_id: str,
    channel_id: str,
    author: Json,
    now: float,
    people: Mapping[str, User] | None = None,
    files: list[Attachment] | None = None,
    flags: int = 0,
) -> Json:
    """Return the message object that a checked body makes.

    author: a user object, or what a webhook shows in its place. people: the users that a mention can find.
    flags: the message's, whatever the body asks for.
    """
    content = body.get("content") or ""
    message: Json = {
        "id": message_id,
        "channel_id": channel_id,
        "type": DEFAULT,
        "author": author,
        "content": content,
        "embeds": [embeds.rendered(embed) for embed in body.get("embeds") or []],
        "attachments": files or [],
        "components": components.rendered(body.get("components") or [], message_id),
        **_mentions(content, body.get("allowed_mentions"), people or {}),
        "tts": bool(body.get("tts")),
        "pinned": False,
        "flags": flags,
        "timestamp": timestamp(now),
        "edited_timestamp": None,
    }
    _link_files(message)
    if body.get("nonce") is not None:
        message["nonce"] = body["nonce"]
    return message


def edited(
    message: Json,
    body: Json,
    now: float,
    people: Mapping[str, User] | None = None,
    files: list[Attachment] | None = None,
) -> Json:
    """Return the message with the fields of a checked body changed; fields that are not in the body stay.

    files: what the request brought; the body's `attachments` says which of the old ones stay, all if it is absent.
    """
    patch: dict[str, Any] = {}
    if "components" in body:
        patch["components"] = components.rendered(body["components"] or [], message["id"])
    if "content" in body:
        content = body["content"] or ""
        patch |= {"content": content} | _mentions(content, body.get("allowed_mentions"), people or {})
    if "embeds" in body:
        patch["embeds"] = [embeds.rendered(embed) for embed in body["embeds"] or []]
    if "flags" in body:
        changeable = SUPPRESS_EMBEDS | IS_COMPONENTS_V2
        patch["flags"] = (message["flags"] & ~SUPPRESS_EMBEDS) | ((body["flags"] or 0) & changeable)
    if body.get("attachments") is not None or files:
        kept = message["attachments"]
        if body.get("attachments") is not None:
            named = {str(row.get("id")) for row in body["attachments"]}
            kept = [attachment for attachment in kept if attachment["id"] in named]
        patch["attachments"] = kept + (files or [])
    changed = message | patch | {"edited_timestamp": timestamp(now)}
    _link_files(changed)
    return changed


def _mentions(content: str, allowed: Json | None, people: Mapping[str, User]) -> Json:
    """Return the mention fields; `allowed` is the body's allowed_mentions, None allows all."""
    if "@" not in content:
        return {"mentions": [], "mention_roles": [], "mention_everyone": False}
    parse = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse") or [])
    named = {key: set(map(str, (allowed or {}).get(key) or [])) for key in ("users", "roles")}
    users = [people[uid] for uid in dict.fromkeys(_USER_MENTION.findall(content)) if uid in people]
    roles = list(dict.fromkeys(_ROLE_MENTION.findall(content)))
    return {
        "mentions": [u.as_json() for u in users if "users" in parse or u.id in named["users"]],
        "mention_roles": [r for r in roles if "roles" in parse or r in named["roles"]],
        "mention_everyone": "everyone" in parse and ("@everyone" in content or "@here" in content),
    }


def _link_files(message: Json) -> None:
    """Point `attachment://name` in embeds at the message's files."""
    urls = {f"attachment://{file['filename']}": file["url"] for file in message["attachments"]}
    for embed in message["embeds"] if urls else []:
        for key in ("image", "thumbnail"):
            if isinstance(embed.get(key), dict) and embed[key].get("url") in urls:
                url = urls[embed[key]["url"]]
                embed[key] = {**embed[key], "url": url, "proxy_url": url}


def without_content(message: Json) -> Json:
    """Return the message as a session without the MESSAGE_CONTENT intent sees it."""
    return message | {"content": "", "embeds": [], "attachments": [], "components": []}


def reply_to(message: Json, original: Json, guild_id: str | None, allowed: Json | None = None) -> Json:
    """Return the message as a reply to `original`.

    allowed: the body's allowed_mentions; None mentions the original's author, else only `replied_user` does.
    """
    reference: Json = {"type": 0, "message_id": original["id"], "channel_id": original["channel_id"]}
    if guild_id is not None:
        reference["guild_id"] = guild_id
    shown = {key: value for key, value in original.items() if key not in {"referenced_message", "reactions"}}
    mentions, author = message["mentions"], original["author"]
    named = any(user["id"] == author["id"] for user in mentions)
    if not named and "webhook_id" not in original and (allowed is None or allowed.get("replied_user")):
        mentions = [*mentions, author]
    changed: Json = {"type": REPLY, "mentions": mentions, "message_reference": reference, "referenced_message": shown}
    return message | changed
