"""Embeds: what Discord refuses in one, and how one looks. Pure."""

from typing import Any

from sandbox import limits
from sandbox.errors import FieldFaults

Embed = dict[str, Any]
Path = tuple[str | int, ...]
_COLOUR_MAX = 0xFFFFFF
_LINKS = ("http", "https")
_PICTURES = (*_LINKS, "attachment")


def check(raw: object, faults: FieldFaults, path: Path) -> None:
    """Record what Discord would refuse in a list of embeds."""
    total = 0
    for index, embed in enumerate(faults.sequence(path, raw, limits.EMBEDS_MAX)):
        if isinstance(embed, dict):
            total += _check_one(embed, faults, (*path, index))
        else:
            faults.add((*path, index), "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
    if total > limits.EMBEDS_TOTAL_MAX:
        message = f"Embed size exceeds maximum size of {limits.EMBEDS_TOTAL_MAX}"
        faults.add(path, "MAX_EMBED_SIZE_EXCEEDED", message)


def _check_one(embed: Embed, faults: FieldFaults, path: Path) -> int:
    faults.number((*path, "color"), embed.get("color"), 0, _COLOUR_MAX)
    _check_urls(embed, faults, path)
    texts: list[tuple[Path, object, int]] = [
        ((*path, key), embed.get(key), longest) for key, longest in limits.EMBED_TEXT_MAX.items()
    ]
    footer = faults.mapping((*path, "footer"), embed.get("footer"))
    author = faults.mapping((*path, "author"), embed.get("author"))
    texts.append(((*path, "footer", "text"), footer.get("text"), limits.EMBED_FOOTER_MAX))
    texts.append(((*path, "author", "name"), author.get("name"), limits.EMBED_AUTHOR_MAX))
    for index, row in enumerate(faults.sequence((*path, "fields"), embed.get("fields") or [], limits.EMBED_FIELDS_MAX)):
        here = (*path, "fields", index)
        for key, longest in limits.EMBED_FIELD_TEXT_MAX.items():
            if not isinstance(row, dict) or not row.get(key):
                faults.required((*here, key))
            else:
                texts.append(((*here, key), row[key], longest))
    given = [text for text in texts if text[1] is not None]
    return sum(len(str(value)) for where, value, longest in given if faults.text(where, value, longest))


def _check_urls(embed: Embed, faults: FieldFaults, path: Path) -> None:
    places: list[tuple[Path, object, tuple[str, ...]]] = [((*path, "url"), embed.get("url"), _LINKS)]
    places += [
        ((*path, key, "url"), faults.mapping((*path, key), embed.get(key)).get("url"), _PICTURES)
        for key in ("image", "thumbnail")
    ]
    for where, url, schemes in places:
        if url is not None and not (isinstance(url, str) and url.partition(":")[0] in schemes):
            named = ", ".join(map(repr, schemes))
            message = f'Scheme "{str(url).partition(":")[0]}" must be one of ({named}).'
            faults.add(where, "URL_TYPE_INVALID_SCHEME", message)


def rendered(embed: Embed) -> Embed:
    """Return a checked embed as Discord answers with it."""
    kept = {key: value for key, value in embed.items() if value is not None} | {"type": "rich"}
    if "fields" in kept:
        kept["fields"] = [{**row, "inline": bool(row.get("inline"))} for row in kept["fields"]]
    return kept
