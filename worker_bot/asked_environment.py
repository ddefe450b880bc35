"""Notices what code asks of the environment when it is imported, before a worker has its bot's secrets."""

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Asked:
    """Which variables were asked for. everything: all of them were looked through."""

    names: set[str] = field(default_factory=set)
    everything: bool = False

    def of(self, names: Collection[str]) -> set[str]:
        """Return those of `names` that were asked for."""
        return set(names) if self.everything else self.names.intersection(names)


BEFORE_THE_FORK = Asked()
"""By the code that was imported into the fork server, and is in all its workers as it was answered then."""


class _Watched(os._Environ):  # type: ignore[type-arg] # noqa: SLF001 - there is no public name
    """`os.environ`, which notes who is asked for; `os.getenv`, `get` and `in` ask as well."""

    def __getitem__(self, name: Any) -> Any:  # noqa: ANN401 - as the class that it stands for
        _asked[-1].names.add(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[Any]:
        _asked[-1].everything = True
        return super().__iter__()


_asked: list[Asked] = []


@contextlib.contextmanager
def noting(asked: Asked) -> Iterator[None]:
    """Add to `asked` what `os.environ` is asked for meanwhile; what it answers is the same."""
    _asked.append(asked)
    before, os.environ.__class__ = os.environ.__class__, _Watched
    try:
        yield
    finally:
        os.environ.__class__ = before
        _asked.pop()
