"""Bodies that Discord accepts, with most fields in use: what a fuzzer mutates to come past the first check."""

from collections.abc import Sequence
from typing import Any

_EMOJI = {"id": "5", "name": "party"}
_BUTTON = {"type": 2, "style": 1, "label": "Go", "custom_id": "go", "emoji": {"name": "🚀"}, "disabled": False}
_LINK = {"type": 2, "style": 5, "label": "Read", "url": "https://example.com/read"}
_OPTION = {"label": "A", "value": "a", "description": "d", "default": True, "emoji": _EMOJI}
_MENU = {"type": 3, "custom_id": "menu", "options": [_OPTION], "placeholder": "p", "min_values": 1, "max_values": 1}
_USERS = {"type": 5, "custom_id": "users", "default_values": [{"id": "1", "type": "user"}], "max_values": 3}
_ROLES = {"type": 6, "custom_id": "roles", "default_values": [{"id": "1", "type": "role"}]}
_ANYONE = {
    "type": 7,
    "custom_id": "anyone",
    "default_values": [{"id": "1", "type": "role"}, {"id": "2", "type": "user"}],
}
_PLACES = {"type": 8, "custom_id": "places", "channel_types": [0, 5]}
_PICTURE = {"media": {"url": "https://example.com/a.png"}, "description": "d", "spoiler": True}
_EMBED = {
    "title": "t",
    "description": "d",
    "url": "https://example.com",
    "color": 255,
    "timestamp": "2027-01-01T00:00:00+00:00",
    "footer": {"text": "f", "icon_url": "https://example.com/f.png"},
    "author": {"name": "a", "url": "https://example.com/a", "icon_url": "https://example.com/a.png"},
    "image": {"url": "https://example.com/i.png"},
    "thumbnail": {"url": "https://example.com/t.png"},
    "fields": [{"name": "n", "value": "v", "inline": True}],
}
_MESSAGES: Sequence[Any] = (
    {
        "content": "Hello <@1> <@&2> @everyone",
        "tts": False,
        "flags": 4,
        "embeds": [_EMBED, {"title": "t"}],
        "allowed_mentions": {"parse": ["everyone"], "users": ["1"], "roles": ["2"], "replied_user": True},
        "components": [
            {"type": 1, "components": [_BUTTON, _LINK]},
            {"type": 1, "components": [_MENU]},
            {"type": 1, "components": [_USERS]},
        ],
    },
    {"components": [{"type": 1, "components": [each]} for each in (_ROLES, _ANYONE, _PLACES)]},
    {
        "flags": 1 << 15,
        "components": [
            {
                "type": 17,
                "accent_color": 255,
                "spoiler": False,
                "components": [
                    {"type": 9, "components": [{"type": 10, "content": "c"}], "accessory": {"type": 11, **_PICTURE}},
                    {"type": 14, "divider": True, "spacing": 2},
                    {"type": 12, "items": [_PICTURE]},
                    {"type": 1, "components": [_BUTTON]},
                    {"type": 13, "file": {"url": "attachment://a.txt"}},
                ],
            },
            {"type": 10, "id": 7, "content": "c"},
        ],
    },
)
_NAMED = {"description": "d", "name_localizations": {"de": "n"}, "description_localizations": {"fr": "d"}}
_OPTIONS: Sequence[Any] = (
    {
        "type": 3,
        "name": "text",
        "required": True,
        "choices": [{"name": "A", "value": "a", "name_localizations": {"de": "A"}}],
        **_NAMED,
    },
    {"type": 4, "name": "count", "min_value": -5, "max_value": 9, "autocomplete": True, **_NAMED},
    {"type": 10, "name": "share", "choices": [{"name": "Half", "value": 0.5}], **_NAMED},
    {"type": 7, "name": "where", "channel_types": [0, 2], **_NAMED},
    {"type": 3, "name": "long", "min_length": 2, "max_length": 4, **_NAMED},
    *({"type": kind, "name": f"kind-{kind}", **_NAMED} for kind in (5, 6, 8, 9, 11)),
)
_SUB_COMMAND = {"type": 1, "name": "sub", "options": [_OPTIONS[0]], **_NAMED}
_COMMANDS: Sequence[Any] = (
    {
        "name": "paint",
        "type": 1,
        "default_member_permissions": "8",
        "contexts": [0, 1],
        "integration_types": [0, 1],
        "nsfw": True,
        "dm_permission": True,
        "options": list(_OPTIONS),
        **_NAMED,
    },
    {
        "name": "shop",
        "description": "d",
        "options": [
            {"type": 2, "name": "group", "options": [_SUB_COMMAND], **_NAMED},
            {"type": 1, "name": "other", **_NAMED},
        ],
    },
    {"name": "Look at", "type": 2, "description": "", "name_localizations": {"de": "Ansehen"}},
)
_TEXT_INPUT = {
    "type": 4,
    "custom_id": "t",
    "style": 2,
    "min_length": 1,
    "max_length": 9,
    "value": "v",
    "required": True,
}
_CHOICES: Sequence[Any] = (
    {"type": 21, "custom_id": "c", "options": [{"label": each, "value": each} for each in "ab"]},
    {"type": 22, "custom_id": "c", "options": [{"label": "a", "value": "a"}], "min_values": 0, "max_values": 1},
    {"type": 23, "custom_id": "c", "default": True},
    {"type": 19, "custom_id": "c", "min_values": 1, "max_values": 3},
    {**_MENU, "custom_id": "c"},
)
_MODALS: Sequence[Any] = tuple(
    {
        "type": 9,
        "data": {
            "custom_id": "m",
            "title": "t",
            "components": [
                {"type": 1, "components": [{**_TEXT_INPUT, "label": "l"}]},
                {"type": 18, "label": "l", "description": "d", "component": each},
                {"type": 10, "content": "c"},
            ],
        },
    }
    for each in _CHOICES
)
_CALLBACKS: Sequence[Any] = (
    *({"type": kind, "data": data} for kind in (4, 7) for data in _MESSAGES),
    {"type": 5, "data": {"flags": 64}},
    {"type": 6},
    {"type": 8, "data": {"choices": [{"name": "n", "value": "v", "name_localizations": {"de": "n"}}]}},
    *_MODALS,
)


def bodies_for(method: str, template: str) -> Sequence[Any]:
    """Return bodies that an operation accepts; none where the description alone leads far enough."""
    if template.endswith("/callback"):
        return _CALLBACKS
    if method not in {"POST", "PATCH", "PUT"}:
        return ()
    if "/commands" in template:
        return tuple(list(_COMMANDS[: count + 1]) for count in range(3)) if method == "PUT" else _COMMANDS
    is_message = template.endswith(("/messages", "/messages/{message_id}", "/messages/@original"))
    return _MESSAGES if is_message or (method == "POST" and template.endswith("/{webhook_token}")) else ()
