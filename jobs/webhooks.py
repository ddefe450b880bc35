"""Delivers operators' webhooks: at least once, each with an id that stays, signed as Standard Webhooks has it.

What is to be delivered is rows of the database, and a row that is attempted is claimed for a while: a program that is
killed meanwhile costs that while, never a delivery. Valkey has no part in it.
"""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import aiohttp
import structlog
from standardwebhooks import Webhook as Signer

from flotilla import __version__
from flotilla.db.webhooks import Attempt, Claimed, SqlWebhooks
from flotilla.domain.webhooks import PAUSE_AFTER, is_public
from flotilla.errors import FlotillaError, RetryError, SetupError
from flotilla.secrets import TokenVault

TIMEOUT_S: Final = 5.0
"""Of one attempt, with the look-up of its host."""

EACH: Final = 4
"""Attempts of one webhook at once; receivers that are slow hold up only their own."""

AT_ONCE: Final = 50
POLL_S: Final = 0.5
RETRY_CAP_S: Final = 5.0
MAX_ERROR: Final = 200
log = structlog.get_logger()


class PrivateAddressError(OSError):
    """The receiver's address is not one of the Internet at large."""


class Sender:
    """Posts to receivers. allow_private: as FLOTILLA_WEBHOOKS_ALLOW_PRIVATE. Use it as a context.

    An address is looked at when the connection is made, whatever the receiver's name stood for before.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=AT_ONCE, use_dns_cache=False, force_close=True, socket_factory=self._socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def attempt(self, claimed: Claimed, secret: str, now: datetime) -> Attempt:
        """Post a delivery once; return how that ended. The answer's body is not read."""
        if self._session is None:
            raise RuntimeError("use the sender as a context")
        try:
            async with self._session.post(
                claimed.url,
                data=claimed.delivery.body.encode(),
                headers=signed_headers(secret, claimed.delivery.id, claimed.delivery.body, now),
                allow_redirects=False,
            ) as answer:
                status = answer.status
        except PrivateAddressError as fault:
            return Attempt(ok=False, error=str(fault))
        except TimeoutError:
            return Attempt(ok=False, error=f"no answer within {TIMEOUT_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            if (private := _private(fault)) is not None:
                return Attempt(ok=False, error=str(private))
            return Attempt(ok=False, error=f"{type(fault).__name__}: {_why(fault)}"[:MAX_ERROR])
        if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, 15.3
            return Attempt(ok=True, status=status)
        redirected = " (redirects are not followed)" if 300 <= status < 400 else ""  # noqa: PLR2004 - RFC 9110, 15.4
        return Attempt(ok=False, status=status, error=f"answered with status {status}{redirected}")

    def _socket(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self._allow_private and not is_public(str(address[0])):
            raise PrivateAddressError("its address is of a private network; see FLOTILLA_WEBHOOKS_ALLOW_PRIVATE")
        return socket.socket(family, kind, protocol)


def signed_headers(secret: str, delivery_id: str, body: str, now: datetime) -> dict[str, str]:
    """Return the headers of a delivery. Source: Standard Webhooks, Webhook headers."""
    return {
        "content-type": "application/json",
        "user-agent": f"Flotilla/{__version__}",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(secret).sign(delivery_id, now, body),
    }


def _private(fault: BaseException) -> PrivateAddressError | None:
    """Return what is behind an error of aiohttp's, which tries all addresses of a host."""
    seen: BaseException | None = fault
    while seen is not None:
        if isinstance(seen, PrivateAddressError):
            return seen
        inner = getattr(seen, "os_error", None)
        seen = inner if isinstance(inner, BaseException) and inner is not seen else seen.__cause__
    return None


def _why(fault: BaseException) -> str:
    inner = getattr(fault, "os_error", None)
    return str(getattr(inner, "strerror", None) or fault)


class Deliveries:
    """Carries deliveries out until cancelled.

    give_up: for how long a webhook may fail before it is switched off. passed: until when time has passed for certain;
    by that it is judged, since a clock that jumped would give up at the first failure. None: nobody knows yet.
    """

    def __init__(
        self,
        store: SqlWebhooks,
        vault: TokenVault,
        sender: Sender,
        give_up: timedelta,
        passed: Callable[[], datetime | None] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._vault, self._sender, self._give_up = store, vault, sender, give_up
        self._passed = passed
        self._busy: Counter[str] = Counter()
        self._room = asyncio.Event()
        self._random = random.Random()  # noqa: S311 - jitter, not a secret

    async def run(self) -> None:
        """Look for what is due and attempt it. A database that is away is asked again, after a longer pause."""
        failures = 0
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self.look(group)
                    failures = 0
                except FlotillaError as fault:
                    failures += 1
                    if failures == 1:
                        log.warning("webhooks.database_away", error=fault.message)
                pause_s = POLL_S if not failures else min(RETRY_CAP_S, POLL_S * 2.0 ** min(failures, 10))
                try:
                    async with asyncio.timeout(pause_s * self._random.uniform(0.8, 1.2)):
                        await self._room.wait()
                except TimeoutError:
                    pass
                self._room.clear()

    async def look(self, group: asyncio.TaskGroup) -> int:
        """Begin what is due, as far as there is room for it; return how many that were. Raises RetryError."""
        room = AT_ONCE - self._busy.total()
        if room <= 0:
            return 0
        found = await self._store.claim(datetime.now(UTC), self._busy, EACH, room)
        for claimed in found:
            self._busy[claimed.delivery.webhook_id] += 1
            group.create_task(self._deliver(claimed))
        return len(found)

    async def _deliver(self, claimed: Claimed) -> None:
        webhook_id = claimed.delivery.webhook_id
        try:
            attempt = await self._attempt(claimed)
            now, passed = datetime.now(UTC), self._passed()
            give_up = timedelta.max if passed is None else self._give_up + (now - passed)
            await self._store.finish(claimed, attempt, now, self._random.random(), give_up)
            self._tell(claimed, attempt)
        except RetryError as fault:
            # Its claim ends, and it is attempted again under the same id.
            log.warning("webhook.not_recorded", webhook_id=webhook_id, error=fault.message)
        except Exception:
            log.exception("webhook.broken", webhook_id=webhook_id, delivery_id=claimed.delivery.id)
        finally:
            self._busy[webhook_id] -= 1
            if not self._busy[webhook_id]:
                del self._busy[webhook_id]
            self._room.set()

    async def _attempt(self, claimed: Claimed) -> Attempt:
        try:
            secret = self._vault.decrypt(claimed.secret_encrypted)
        except (SetupError, OSError) as fault:
            return Attempt(ok=False, error=f"its secret cannot be read: {fault}"[:MAX_ERROR])
        return await self._sender.attempt(claimed, secret, datetime.now(UTC))

    def _tell(self, claimed: Claimed, attempt: Attempt) -> None:
        told = {"webhook_id": claimed.delivery.webhook_id, "delivery_id": claimed.delivery.id, "status": attempt.status}
        if attempt.ok:
            log.debug("webhook.delivered", **told)
        elif claimed.failures < PAUSE_AFTER:
            log.warning("webhook.failed", **told, error=attempt.error, attempt=claimed.delivery.attempts + 1)
