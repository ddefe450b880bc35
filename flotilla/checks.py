"""The table of checks: what `flotilla doctor` and `/readyz` look at, all at once, none for longer than it may.

A check returns a short fact when all is well and raises a FlotillaError whose sentence says how to mend it. One that
hangs or breaks is a finding, too: nothing that it looks at can hang or end whoever looks.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from flotilla.errors import FlotillaError, RetryError


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table. remedy: what to do when it hangs or breaks, for then it cannot say so itself.

    needed: whether what it looks at must be well for the API to be ready; else the API is merely degraded.
    """

    name: str
    look: Callable[[], Awaitable[str]]
    remedy: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: a fact when `ok`, else what is wrong and how to mend it.

    hung: it did not come to an end. fault: what broke the check itself; not for everybody's eyes.
    """

    name: str
    ok: bool
    text: str
    needed: bool = True
    hung: bool = False
    fault: Exception | None = None


async def examine(checks: Iterable[Check], timeout_s: float) -> list[Finding]:
    """Run all checks at once and return what each found, in their order, within about `timeout_s`. Never raises."""
    return list(await asyncio.gather(*(_find(check, timeout_s) for check in checks)))


async def _find(check: Check, timeout_s: float) -> Finding:
    hung, broken = False, None
    try:
        async with asyncio.timeout(timeout_s):
            return Finding(check.name, ok=True, text=await check.look(), needed=check.needed)
    except TimeoutError:
        text, hung = f"no answer within {timeout_s:g} s. {check.remedy}", True
    except FlotillaError as fault:
        text = fault.message
    except Exception as fault:  # noqa: BLE001 - a check that breaks is a finding, not the end of the examination
        text, broken = f"This check could not be made ({type(fault).__name__}). {check.remedy}", fault
    return Finding(check.name, ok=False, text=text, needed=check.needed, hung=hung, fault=broken)


class InThread:
    """A look that blocks, made in a thread that nobody waits for: a disk or name server that hangs keeps only that.

    While one look hangs, further ones fail at once, so threads do not pile up.
    """

    def __init__(self, look: Callable[[], str]) -> None:
        self._look = look
        self._busy = threading.Lock()

    async def __call__(self) -> str:
        """Return what the look returns, or raise what it raises. Raises RetryError while an earlier one hangs."""
        if not self._busy.acquire(blocking=False):
            raise RetryError("An earlier look has not come back: what it looks at hangs. See: flotilla doctor")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def work() -> None:
            text, fault = "", None
            try:
                text = self._look()
            except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
                fault = error
            finally:
                self._busy.release()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_resolve, answer, text, fault)

        threading.Thread(target=work, daemon=True).start()
        return await answer


def _resolve(answer: "asyncio.Future[str]", text: str, fault: BaseException | None) -> None:
    if answer.done():
        return
    if fault is None:
        answer.set_result(text)
    else:
        answer.set_exception(fault)
