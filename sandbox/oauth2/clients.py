"""Applications as OAuth2 clients: their secrets, derived like tokens, and their redirect URIs."""

import hmac
from urllib.parse import urlsplit

from sandbox import limits
from sandbox.tokens import Mint

_SECRET_CHARACTERS = 32


class Clients:
    """What OAuth2 knows about applications, by id."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self._redirect_uris: dict[str, tuple[str, ...]] = {}

    def secret_of(self, application_id: str) -> str:
        """Return the client secret, the same one each time."""
        return self._mint.derive_hex("client_secret", application_id)[:_SECRET_CHARACTERS]

    def authenticates(self, application_id: str, secret: str) -> bool:
        """Return whether `secret` is the application's."""
        return hmac.compare_digest(secret.encode(), self.secret_of(application_id).encode())

    def redirect_uris(self, application_id: str) -> tuple[str, ...]:
        """Return the registered redirect URIs, in the order they were given."""
        return self._redirect_uris.get(application_id, ())

    def all_redirect_uris(self) -> dict[str, tuple[str, ...]]:
        """Return the redirect URIs of every application, by its id."""
        return self._redirect_uris

    def set_redirect_uris(self, application_id: str, uris: list[str]) -> None:
        """Register the redirect URIs in place of those before.

        Raises ValueError if one is not an absolute URI without a fragment (RFC 6749 3.1.2), or if there are too many.
        """
        if len(uris) > limits.REDIRECT_URIS_MAX:
            raise ValueError(f"at most {limits.REDIRECT_URIS_MAX} redirect URIs can be registered")
        for uri in uris:
            parts = urlsplit(uri)
            if not parts.scheme or not parts.netloc or parts.fragment:
                raise ValueError(f"{uri!r} is not an absolute URI without a fragment")
        self._redirect_uris[application_id] = tuple(uris)
