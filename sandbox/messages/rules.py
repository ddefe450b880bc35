"""What Discord refuses in a message's body: 50035 with the faulty fields, or 50006. Pure."""

from sandbox import errors, limits
from sandbox.errors import DiscordError, FieldFaults
from sandbox.messages import attachments, component_rules, embeds
from sandbox.messages.attachments import Upload
from sandbox.world.objects import Json

CROSSPOSTED = 1 << 0
SUPPRESS_EMBEDS = 1 << 2
EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_NOTIFICATIONS = 1 << 12
IS_COMPONENTS_V2 = 1 << 15
_SHOWN = ("content", "embeds", "components", "sticker_ids", "poll")
_NOT_WITH_V2 = ("content", "embeds", "sticker_ids", "poll")
Path = tuple[str | int, ...]


def check(
    body: Json,
    path: Path = (),
    uploads: list[Upload] | None = None,
    *,
    may_be_empty: bool = False,
    flags_before: int = 0,
) -> None:
    """Raise DiscordError 50035 or 50006 for what Discord refuses in a message's body.

    path: where the message lies in the request, such as ("data",) in an interaction callback.
    flags_before: the flags of the message that is edited; IS_COMPONENTS_V2 cannot be taken back.
    """
    faults = FieldFaults()
    faults.integer((*path, "flags"), body.get("flags"))
    faults.raise_if_any()
    v2 = bool(((body.get("flags") or 0) | flags_before) & IS_COMPONENTS_V2)
    if body.get("content") is not None:
        faults.text((*path, "content"), body["content"], limits.CONTENT_MAX)
    if body.get("embeds") is not None:
        embeds.check(body["embeds"], faults, (*path, "embeds"))
    if body.get("components") is not None:
        component_rules.check_message(body["components"], faults, (*path, "components"), v2=v2)
    attachments.check(body.get("attachments"), uploads or [], faults, path)
    _check_nonce(body, faults, path)
    _check_mentions(body.get("allowed_mentions"), faults, (*path, "allowed_mentions"))
    if v2:
        for key in _NOT_WITH_V2:
            if body.get(key):
                message = f"The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                faults.add((*path, key), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", message)
    faults.raise_if_any()
    if not may_be_empty and not uploads and not any(body.get(key) for key in _SHOWN):
        raise DiscordError(errors.EMPTY_MESSAGE)


def _check_nonce(body: Json, faults: FieldFaults, path: Path) -> None:
    nonce = body.get("nonce")
    if nonce is None:
        return
    if not isinstance(nonce, str | int) or isinstance(nonce, bool):
        faults.add((*path, "nonce"), "NONCE_TYPE_INVALID", "Nonce must be a string or an integer")
    else:
        faults.text((*path, "nonce"), str(nonce), limits.NONCE_MAX)


def _check_mentions(raw: object, faults: FieldFaults, path: Path) -> None:
    allowed = faults.mapping(path, raw)
    for key in ("parse", "users", "roles"):
        if allowed.get(key) is not None:
            most = limits.MENTIONS_MAX if key != "parse" else 3
            faults.sequence((*path, key), allowed[key], most)
            if key != "parse" and allowed[key] and key in (allowed.get("parse") or []):
                message = f"parse:[{key!r}] and {key}: [ids...] are mutually exclusive."
                faults.add(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message)
