"""Commands of a bot as Discord knows them: what is registered, what is due, and what Discord refused. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, structs

GLOBAL: Final = "global"
"""The scope of commands that are in no guild in particular; others are guild ids."""

MAX_TOLD: Final = 5
"""Refusals and reasons that are told of one attempt: who reads them mends one after the other."""

MAX_TEXT: Final = 200


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """What Discord said no to. scope: as above. commands: those it named. why: in its own words."""

    scope: Annotated[str, Meta(max_length=20)]
    commands: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=MAX_TOLD)]
    why: Annotated[str, Meta(max_length=4 * MAX_TEXT)]


class SyncReport(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt went. registered: commands that Discord took, in all scopes; None: in no scope anything was due.

    postponed: why what is left is tried again by itself, empty if nothing is. lost: extensions that could not be
    loaded, whose commands stay registered therefore; those that were told before are left out.
    """

    registered: int | None = None
    refused: Annotated[tuple[Refusal, ...], Meta(max_length=MAX_TOLD)] = ()
    postponed: Annotated[str, Meta(max_length=4 * MAX_TEXT)] = ""
    lost: Annotated[tuple[Annotated[str, Meta(max_length=MAX_TEXT)], ...], Meta(max_length=MAX_TOLD)] = ()


class Registered(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was registered last, and what was refused last, as hashes by scope.

    epoch: of the last order to register whatever was registered before.
    """

    application_id: int
    epoch: int = 0
    scopes: dict[str, str] = {}
    refused: dict[str, str] = {}

    def under(self, application_id: int, epoch: int) -> "Registered":
        """Return what of it holds for this application and order."""
        if application_id != self.application_id:
            return Registered(application_id, epoch)
        if epoch != self.epoch:
            return Registered(application_id, epoch, dict.fromkeys(self.scopes, ""))
        return self

    def due(self, wanted: Mapping[str, str], *, empty: bool = True) -> list[str]:
        """Return the scopes to be sent, those first that have no commands any more, if they are to be emptied.

        wanted: hashes by scope. What was refused is not sent again as it is.
        """
        gone = [scope for scope in self.scopes if scope not in wanted] if empty else []
        news = [
            scope for scope, value in wanted.items() if value not in (self.scopes.get(scope), self.refused.get(scope))
        ]
        return gone + news

    def accepted(self, scope: str, value: str | None) -> "Registered":
        """Return it with what Discord took; None: the scope is empty now."""
        scopes = {name: known for name, known in self.scopes.items() if name != scope}
        refused = {name: known for name, known in self.refused.items() if name != scope}
        return structs.replace(self, scopes=scopes if value is None else scopes | {scope: value}, refused=refused)

    def rejected(self, scope: str, value: str) -> "Registered":
        """Return it with what Discord refused."""
        return structs.replace(self, refused=self.refused | {scope: value})


def commands_named(errors: object, names: Sequence[str]) -> tuple[str, ...]:
    """Return the commands that Discord's `errors` are about. names: of all that were sent, in their order.

    Discord, Reference, "Error Messages": the keys on the way to a fault are fields, and indices of arrays.
    """
    indices = errors if isinstance(errors, Mapping) else ()
    found = [names[int(key)] for key in indices if str(key).isdecimal() and int(key) < len(names)]
    return tuple(name[:32] for name in found[:MAX_TOLD])


def explained(errors: object, names: Sequence[str]) -> str:
    """Return Discord's `errors` as a text like `shop > options > 0 > name: is invalid`; empty without any."""
    told = []
    for path, message in _faults(errors, ()):
        first = names[int(path[0])] if path and path[0].isdecimal() and int(path[0]) < len(names) else None
        told.append(f"{' > '.join(path if first is None else (first, *path[1:]))}: {message}"[:MAX_TEXT])
        if len(told) == MAX_TOLD - 1:
            break
    return "; ".join(told)


def _faults(errors: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401 - Discord's JSON
    if not isinstance(errors, Mapping):
        return
    for key, inner in errors.items():
        if key == "_errors" and isinstance(inner, Sequence):
            for fault in inner:
                message = fault.get("message") if isinstance(fault, Mapping) else fault
                yield path, str(message)
        else:
            yield from _faults(inner, (*path, str(key)))
