"""What a bot uploads is sent again as it was, or not at all.

hikari reads open files and generators anew for each attempt, and so sends nothing the second time. Here what was read
of them is kept for the next attempt, as long as it is small.
"""

import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import hikari
from hikari.files import Bytes
from hikari.internal.data_binding import URLEncodedFormBuilder

KEPT_BYTES: Final = 10 * 1024 * 1024
"""What a file may have that Discord takes from a bot without boosts; larger ones are not kept."""


class UploadSpentError(hikari.HTTPError):
    """A request failed and would have to be sent again, but a file of it can be read only once."""


class _Once:
    """The chunks of what can be read only once, which are kept so that they can be read again."""

    def __init__(self, resource: Bytes) -> None:
        self._name = resource.filename
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._rest: AsyncIterator[bytes] = aiter(hikari.files.IteratorReader(self._name, None, resource.data))
        self._is_spent = False

    def require(self) -> None:
        """Raise UploadSpentError if it cannot be read from the start."""
        if self._is_spent:
            raise UploadSpentError(
                f"The request failed and was not sent again: {self._name} is an open file or a generator, which can be "
                "read only once. Give hikari its bytes or its path instead."
            )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in list(self._chunks):
            yield chunk
        while True:
            try:
                chunk = await anext(self._rest)
            except StopAsyncIteration:
                return
            except BaseException:
                self._is_spent = True  # what is read in part is not known
                raise
            self._bytes += len(chunk)
            if self._bytes <= KEPT_BYTES:
                self._chunks.append(chunk)
            else:
                self._is_spent = True
                self._chunks.clear()
            yield chunk


class Upload:
    """What hikari asks of a form, for all attempts of one call; the form itself is not changed."""

    def __init__(self, form: URLEncodedFormBuilder) -> None:
        self._form = URLEncodedFormBuilder()
        self._form._fields = form._fields
        self._form._resources = [(name, _again(resource)) for name, resource in form._resources]

    async def build(self, stack: AsyncExitStack, executor: Any = None) -> aiohttp.FormData:  # noqa: ANN401 - hikari's
        """Return the form for an attempt. Raises UploadSpentError if it cannot be sent again as it was."""
        for _, resource in self._form._resources:
            if isinstance(resource, Bytes) and isinstance(resource.data, _Once):
                resource.data.require()
        return await self._form.build(stack, executor=executor)


def _again(resource: Any) -> Any:  # noqa: ANN401 - hikari's resources
    if not isinstance(resource, Bytes) or not isinstance(resource.data, Iterator | AsyncIterator):
        return resource
    kept = copy.copy(resource)
    kept.data = _Once(resource)
    return kept
