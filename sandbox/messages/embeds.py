"""Embeds: what Discord refuses in one, and how one looks. Pure."""

from typing import Any, Final

from sandbox import limits
from sandbox.errors import FieldFaults
from sandbox.shapes import INT32_MAX, LINKS, PICTURES, Path, Shape, as_utc, boolean, integer, items, moment, record
from sandbox.shapes import text as of_text
from sandbox.shapes import url as of_url

Embed = dict[str, Any]
_SIZE = integer(-INT32_MAX, INT32_MAX)
_LINK, _PICTURE = of_url(limits.URL_MAX, *LINKS), of_url(limits.URL_MAX, *PICTURES)
_MEDIA = record({
    "url": _PICTURE,
    "width": _SIZE,
    "height": _SIZE,
    "placeholder": of_text(limits.EMBED_PLACEHOLDER_MAX),
    "placeholder_version": integer(0, INT32_MAX),
    "is_animated": boolean,
    "description": of_text(limits.EMBED_MEDIA_DESCRIPTION_MAX),
})  # fmt: skip
_FIELD = record(
    {
        "name": of_text(limits.EMBED_FIELD_TEXT_MAX["name"], 1),
        "value": of_text(limits.EMBED_FIELD_TEXT_MAX["value"], 1),
        "inline": boolean,
    },
    required=("name", "value"),
)
_AUTHOR_NAME = of_text(limits.EMBED_AUTHOR_MAX)
SHAPE: Final[Shape] = items(
    record({
        "type": of_text(limits.EMBED_TEXT_MAX["description"]),
        "url": _LINK,
        "title": of_text(limits.EMBED_TEXT_MAX["title"]),
        "color": integer(0, 0xFFFFFF),
        "timestamp": moment,
        "description": of_text(limits.EMBED_TEXT_MAX["description"]),
        "author": record({"name": _AUTHOR_NAME, "url": _LINK, "icon_url": _PICTURE}, required=("name",)),
        "footer": record({"text": of_text(limits.EMBED_FOOTER_MAX), "icon_url": _PICTURE}, required=("text",)),
        "provider": record({"name": _AUTHOR_NAME, "url": _LINK}),
        "image": _MEDIA,
        "thumbnail": _MEDIA,
        "video": _MEDIA,
        "fields": items(_FIELD, limits.EMBED_FIELDS_MAX),
    }),
    limits.EMBEDS_MAX,
)  # fmt: skip
_SHOWN = frozenset((
    "url", "title", "color", "timestamp", "description", "author", "footer", "image", "thumbnail", "fields",
))  # fmt: skip
_SHOWN_WITHIN = {
    "image": ("url",),
    "thumbnail": ("url",),
    "author": ("name", "url", "icon_url"),
    "footer": ("text", "icon_url"),
}


def check_size(embeds: list[Embed], faults: FieldFaults, path: Path) -> None:
    """Record a fault if embeds of the right shape hold too much text together (documented: Embed Limits)."""
    if sum(map(_size, embeds)) > limits.EMBEDS_TOTAL_MAX:
        message = f"Embed size exceeds maximum size of {limits.EMBEDS_TOTAL_MAX}"
        faults.add(path, "MAX_EMBED_SIZE_EXCEEDED", message)


def _size(embed: Embed) -> int:
    texts = [embed.get("title"), embed.get("description")]
    texts += [(embed.get("footer") or {}).get("text"), (embed.get("author") or {}).get("name")]
    for row in embed.get("fields") or []:
        texts += [row["name"], row["value"]]
    return sum(len(each) for each in texts if each is not None)


def rendered(embed: Embed) -> Embed:
    """Return a checked embed as Discord answers with it; a client's provider, video and type are not shown."""
    kept = {key: value for key, value in embed.items() if value is not None and key in _SHOWN}
    for key, shown in _SHOWN_WITHIN.items():
        if key in kept:
            kept[key] = {name: kept[key][name] for name in shown if kept[key].get(name) is not None}
    for key in ("image", "thumbnail"):
        if key in kept and not kept[key]:
            del kept[key]
    if "fields" in kept:
        kept["fields"] = [
            {"name": row["name"], "value": row["value"], "inline": bool(row.get("inline"))} for row in kept["fields"]
        ]
    if "timestamp" in kept:
        kept["timestamp"] = as_utc(kept["timestamp"]).isoformat()
    return kept | {"type": "rich"}
