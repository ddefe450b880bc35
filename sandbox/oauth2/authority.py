"""The authorization server's state, together."""

from collections.abc import Callable

from sandbox.oauth2.clients import Clients
from sandbox.oauth2.consents import Consents
from sandbox.oauth2.grants import Grants
from sandbox.tokens import Mint


class Authority:
    """Clients, scripted consents and grants. `draw` gives a new random token."""

    def __init__(self, mint: Mint, draw: Callable[[], str]) -> None:
        self.clients = Clients(mint)
        self.consents = Consents()
        self.grants = Grants(draw)
