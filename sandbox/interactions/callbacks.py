"""What an application may answer to an interaction, and what Discord refuses in the answer. Pure."""

from collections.abc import Collection
from enum import IntEnum
from typing import Final

from sandbox import limits
from sandbox.commands import shapes as command_shapes
from sandbox.errors import FieldFaults
from sandbox.messages import component_rules, rules
from sandbox.messages.attachments import Upload
from sandbox.shapes import Shape, record, text
from sandbox.world.objects import Json


class Callback(IntEnum):
    """The types of interaction callback (documented: Interactions, Receiving and Responding)."""

    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    AUTOCOMPLETE = 8
    MODAL = 9


DEFERRALS: Final = frozenset({Callback.DEFERRED_MESSAGE, Callback.DEFERRED_UPDATE})
_NEW = (Callback.MESSAGE, Callback.DEFERRED_MESSAGE)
_CHANGE = (Callback.DEFERRED_UPDATE, Callback.UPDATE)
_ALLOWED: Final[dict[tuple[int, bool], tuple[Callback, ...]]] = {
    # (interaction type, comes from a message): what may answer it
    (2, False): (*_NEW, Callback.MODAL),
    (3, True): (*_NEW, *_CHANGE, Callback.MODAL),
    (4, False): (Callback.AUTOCOMPLETE,),
    (5, False): _NEW,
    (5, True): (*_NEW, *_CHANGE),
}


_MODAL: Final[Shape] = record(
    {"custom_id": text(limits.CUSTOM_ID_MAX, 1), "title": text(limits.MODAL_TITLE_MAX, 1)},
    required=("custom_id", "title"),
)


def check(
    body: Json, kind: int, *, has_source: bool, uploads: list[Upload], attached: Collection[str] = (), focused: int = 0
) -> tuple[Callback, Json]:
    """Return the type and the data of a callback's body; raise DiscordError for what Discord refuses.

    kind: the interaction's type. has_source: whether it came from a message's component or a modal opened by one.
    attached: the ids of that message's files. focused: the type of the option that the user is typing into.
    """
    faults = FieldFaults()
    allowed = tuple(map(int, _ALLOWED[kind, has_source]))
    faults.choice(("type",), body.get("type"), allowed)
    data = faults.mapping(("data",), body.get("data"))
    faults.raise_if_any()
    callback = Callback(body["type"])
    if callback is Callback.MESSAGE:
        rules.check(data, ("data",), uploads)
    elif callback is Callback.UPDATE or callback in DEFERRALS:
        rules.check(data, ("data",), uploads, may_be_empty=True, attached=attached)
    elif callback is Callback.AUTOCOMPLETE:
        _check_choices(data, focused, faults)
    elif callback is Callback.MODAL:
        _check_modal(data, faults)
    faults.raise_if_any()
    return callback, data


def _check_choices(data: Json, focused: int, faults: FieldFaults) -> None:
    path = ("data", "choices")
    if data.get("choices") is None:
        faults.required(path)
    else:
        command_shapes.check_answers(focused, data["choices"], faults, path)


def _check_modal(data: Json, faults: FieldFaults) -> None:
    _MODAL(data, faults, ("data",))
    if data.get("components") is None:
        faults.required(("data", "components"))
    else:
        component_rules.check_modal(data["components"], faults, ("data", "components"))
