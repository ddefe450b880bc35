"""What Discord refuses in a message's body: 50035 with the faulty fields, or 50006 and 50081. Pure."""

from collections.abc import Collection
from typing import Final

from sandbox import errors, limits, shapes
from sandbox.errors import DiscordError, FieldFaults
from sandbox.messages import attachments, component_rules, embeds
from sandbox.messages.attachments import Upload
from sandbox.shapes import Path, Shape, boolean, choice, integer, items, record, snowflake, text
from sandbox.world.objects import Json

CROSSPOSTED = 1 << 0
SUPPRESS_EMBEDS = 1 << 2
EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_NOTIFICATIONS = 1 << 12
IS_COMPONENTS_V2 = 1 << 15
# Documented as what can be set. That Discord passes over the others in silence is ours: it documents no error.
FLAGS_OF_A_MESSAGE: Final = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | IS_COMPONENTS_V2
FLAGS_OF_AN_ANSWER: Final = FLAGS_OF_A_MESSAGE | EPHEMERAL
_SHOWN = ("content", "embeds", "components", "sticker_ids")
_NOT_WITH_V2 = ("content", "embeds", "sticker_ids", "poll")
_NOT_SERVED = ("poll", "shared_client_theme")
_INT64_MAX = 2**63 - 1
_ID_LIST = items(snowflake, limits.MENTIONS_MAX, unique=True, nulls=True)
_PARSES = ("users", "roles", "everyone")


def _is_anything(_: object, __: FieldFaults, ___: Path) -> bool:
    """What is checked elsewhere, or refused as a whole."""
    return True


def _nonce(value: object, faults: FieldFaults, path: Path) -> bool:
    if isinstance(value, str):
        return faults.text(path, value, limits.NONCE_MAX)
    right = type(value) is int and -_INT64_MAX <= value <= _INT64_MAX
    if not right:
        faults.add(path, "NONCE_TYPE_INVALID", "Nonce must be a string or an integer")
    return right


_SHAPE: Final[Shape] = record({
    "content": text(limits.CONTENT_MAX),
    "tts": boolean,
    "flags": integer(0, _INT64_MAX),
    "nonce": _nonce,
    "enforce_nonce": boolean,
    "embeds": embeds.SHAPE,
    "components": _is_anything,
    "attachments": attachments.SHAPE,
    "sticker_ids": items(snowflake, limits.STICKERS_MAX),
    "allowed_mentions": record({
        "parse": items(choice(*_PARSES), len(_PARSES), unique=True, nulls=True),
        "users": _ID_LIST,
        "roles": _ID_LIST,
        "replied_user": boolean,
    }),
    "message_reference": record(
        {
            "message_id": snowflake,
            "channel_id": snowflake,
            "guild_id": snowflake,
            "fail_if_not_exists": boolean,
            "type": choice(0),
        },
        required=("message_id",),
    ),
})  # fmt: skip


def check(
    body: Json,
    path: Path = (),
    uploads: list[Upload] | None = None,
    *,
    may_be_empty: bool = False,
    flags_before: int = 0,
    attached: Collection[str] = (),
) -> None:
    """Raise DiscordError 50035, 50006 or 50081 for what Discord refuses in a message's body.

    path: where the message lies in the request, such as ("data",) in an interaction callback.
    flags_before: the flags of the message that is edited; IS_COMPONENTS_V2 cannot be taken back.
    attached: the ids of the files that the edited message has.
    """
    shapes.check(_SHAPE, body, path)
    faults = FieldFaults()
    v2 = bool(((body.get("flags") or 0) | flags_before) & IS_COMPONENTS_V2)
    embeds.check_size(body.get("embeds") or [], faults, (*path, "embeds"))
    if body.get("components") is not None:
        component_rules.check_message(body["components"], faults, (*path, "components"), v2=v2)
    attachments.check(body.get("attachments") or [], uploads or [], attached, faults, path)
    _check_mentions(body.get("allowed_mentions") or {}, faults, (*path, "allowed_mentions"))
    for key in _NOT_WITH_V2 if v2 else ():
        if body.get(key):
            message = f"The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
            faults.add((*path, key), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", message)
    for key in _NOT_SERVED:
        if body.get(key) is not None:
            faults.add((*path, key), "SANDBOX_NOT_SERVED", f"The sandbox does not serve '{key}'.")
    faults.raise_if_any()
    if body.get("sticker_ids"):
        raise DiscordError(errors.INVALID_STICKER)  # no guild of the sandbox has stickers
    if not may_be_empty and not uploads and not any(body.get(key) for key in _SHOWN):
        raise DiscordError(errors.EMPTY_MESSAGE)


def _check_mentions(allowed: Json, faults: FieldFaults, path: Path) -> None:
    for key in ("users", "roles"):
        if allowed.get(key) and key in (allowed.get("parse") or []):
            message = f"parse:[{key!r}] and {key}: [ids...] are mutually exclusive."
            faults.add(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message)
