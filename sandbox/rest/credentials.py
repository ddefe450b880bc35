"""Whose token an Authorization header carries. Pure; remembers tokens whose signature held."""

import base64
import binascii

from sandbox import limits
from sandbox.world.applications import Application
from sandbox.world.world import World

_BOT = "Bot "


class Credentials:
    """Finds applications by their bot's Authorization header. A reset or a forgotten application ends a token."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._verified: dict[str, tuple[Application, int]] = {}

    def application_of(self, authorization: str) -> Application | None:
        """Return the application whose present bot token the header holds, None for every other header."""
        verified = self._verified.get(authorization)
        if verified is not None:
            application, serial = verified
            if application.serial == serial and self._world.find(application.id) is application:
                return application
            del self._verified[authorization]
        if not authorization.startswith(_BOT):
            return None
        found = self._world.authenticate(authorization.removeprefix(_BOT))
        if found is not None:
            if len(self._verified) >= limits.TOKENS_KEPT:
                self._verified.clear()
            self._verified[authorization] = (found, found.serial)
        return found

    def claimed(self, authorization: str) -> str | None:
        """Return the id of the application that a bad bot token says it is of, None if there is no such application.

        For the record only: nothing proves the claim.
        """
        encoded = authorization.removeprefix(_BOT).partition(".")[0]
        try:
            claimed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("ascii")
        except (ValueError, binascii.Error):
            return None
        return claimed if self._world.find(claimed) is not None else None
