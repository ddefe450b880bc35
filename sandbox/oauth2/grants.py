"""Codes and tokens: what users have granted to applications. Time and randomness are handed in."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sandbox import limits
from sandbox.oauth2.authorize import Asked
from sandbox.oauth2.errors import invalid, missing
from sandbox.world.objects import Json
from sandbox.world.users import User

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Authorization:
    """What one user, or the owner for client credentials, has granted to an application."""

    id: str
    application_id: str
    user: User
    scopes: tuple[str, ...]
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Code:
    authorization: Authorization
    redirect_uri: str
    challenge: str | None
    expires_at: float


class Grants:
    """Codes, access tokens and refresh tokens. `draw` gives a new random token; times are Unix seconds."""

    def __init__(self, draw: Callable[[], str]) -> None:
        self._draw = draw
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, Authorization] = {}
        self._refresh: dict[str, Authorization] = {}

    def code(self, asked: Asked, user: User, scopes: tuple[str, ...], now: float) -> str:
        """Return a code for what `user` has granted; it can be exchanged once."""
        code = self._draw()
        authorization = Authorization(self._draw(), asked.application_id, user, scopes)
        _keep(self._codes, code, _Code(authorization, asked.redirect_uri, asked.challenge, now + limits.CODE_S))
        return code

    def exchange(
        self, application_id: str, code: str, redirect_uri: str | None, verifier: str | None, now: float
    ) -> Json:
        """Return the tokens of a code. Raises OAuth2Error if anything about it is wrong; the code is spent then too."""
        held = self._codes.get(code)
        if held is None or held.expires_at <= now or held.authorization.application_id != application_id:
            raise invalid("code")
        del self._codes[code]
        if redirect_uri != held.redirect_uri:
            raise invalid("redirect_uri")
        if held.challenge is not None:
            _check_verifier(held.challenge, verifier)
        return self._issue(held.authorization, now, refreshable=True)

    def refresh(self, application_id: str, refresh_token: str, now: float) -> Json:
        """Return new tokens for a refresh token; it, and the access token it came with, are void from now on."""
        authorization = self._refresh.get(refresh_token)
        if authorization is None or authorization.application_id != application_id:
            raise invalid("refresh_token")
        self._end(lambda other: other.id == authorization.id)
        return self._issue(authorization, now, refreshable=True)

    def direct(self, application_id: str, user: User, scopes: tuple[str, ...], now: float) -> Json:
        """Return an access token without a refresh token, as client credentials and the implicit grant give it."""
        return self._issue(Authorization(self._draw(), application_id, user, scopes), now, refreshable=False)

    def _issue(self, authorization: Authorization, now: float, *, refreshable: bool) -> Json:
        access_token = self._draw()
        live = Authorization(
            authorization.id,
            authorization.application_id,
            authorization.user,
            authorization.scopes,
            now + limits.ACCESS_TOKEN_S,
        )
        _keep(self._access, access_token, live)
        tokens: Json = {
            "token_type": "Bearer",
            "access_token": access_token,
            "expires_in": limits.ACCESS_TOKEN_S,
            "scope": " ".join(authorization.scopes),
        }
        if refreshable:
            tokens["refresh_token"] = self._draw()
            _keep(self._refresh, tokens["refresh_token"], live)
        return tokens

    def find(self, access_token: str, now: float) -> Authorization | None:
        """Return what an access token stands for, None if it is unknown, revoked or expired."""
        authorization = self._access.get(access_token)
        return authorization if authorization is not None and authorization.expires_at > now else None

    def has_granted(self, application_id: str, user: User, scopes: tuple[str, ...]) -> bool:
        """Return whether the user has an authorization of the application with all these scopes."""
        return any(
            held.application_id == application_id and held.user.id == user.id and set(scopes) <= set(held.scopes)
            for held in self._refresh.values()
        )

    def revoke(self, application_id: str, token: str) -> None:
        """Void all tokens of the application for the user of this token; an unknown token is ignored (RFC 7009)."""
        held = self._access.get(token) or self._refresh.get(token)
        if held is not None and held.application_id == application_id:
            self._end(lambda other: other.application_id == application_id and other.user.id == held.user.id)

    def _end(self, is_ended: Callable[[Authorization], bool]) -> None:
        self._access = {token: held for token, held in self._access.items() if not is_ended(held)}
        self._refresh = {token: held for token, held in self._refresh.items() if not is_ended(held)}

    def prune(self, now: float) -> None:
        """Forget expired codes and access tokens. Refresh tokens stay: Discord documents no end of theirs."""
        self._codes = {code: held for code, held in self._codes.items() if held.expires_at > now}
        self._access = {token: held for token, held in self._access.items() if held.expires_at > now}


def _keep(kept: dict[str, T], key: str, value: T) -> None:
    kept[key] = value
    if len(kept) > limits.AUTHORIZATIONS_KEPT:
        del kept[next(iter(kept))]


def _check_verifier(challenge: str, verifier: str | None) -> None:
    if verifier is None:
        raise missing("code_verifier")
    shortest, longest = limits.VERIFIER_LENGTHS
    digest = hashlib.sha256(verifier.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=")
    if not shortest <= len(verifier) <= longest or not hmac.compare_digest(expected, challenge.rstrip("=").encode()):
        raise invalid("code_verifier")
