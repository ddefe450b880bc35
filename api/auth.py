"""Who may do what: bearer API keys and three roles. A route says its role; a route that says nothing answers nobody."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from quart import Quart, current_app, g, request
from quart_schema import security_scheme

from flotilla.db.keys import ApiKey, Role, SqlApiKeys
from flotilla.errors import FixInputError

SCHEME = "apiKey"
_ROLE = "_flotilla_role"
_ORDER = list(Role)
_PUBLIC = {"openapi"}
View = TypeVar("View", bound=Callable[..., Any])


class AuthError(FixInputError):
    """The caller is not known, or may not do this."""

    code = "key_refused"


def requires(role: Role) -> Callable[[View], View]:
    """Let only keys of `role` or a higher one call the view."""

    def mark(view: View) -> View:
        setattr(view, _ROLE, role)
        return security_scheme([{SCHEME: []}])(view)

    return mark


def public(view: View) -> View:
    """Let anybody call the view."""
    setattr(view, _ROLE, None)
    return view


def role_of(view: Callable[..., Any]) -> Role | None:
    """Return the role that `view` requires, None for anybody. Raises LookupError if it does not say."""
    if not hasattr(view, _ROLE):
        raise LookupError(f"{view} says neither `requires` nor `public`")
    role: Role | None = getattr(view, _ROLE)
    return role


def caller() -> ApiKey:
    """Return the key with which the current request was made."""
    key: ApiKey = g.key
    return key


def install_auth(app: Quart, keys: SqlApiKeys) -> None:
    """Check the key and its role before any view of `app` runs."""

    async def check() -> None:
        rule = request.url_rule
        if rule is None or rule.endpoint in _PUBLIC:
            return
        role = role_of(current_app.view_functions[rule.endpoint])
        if role is not None:
            g.key = await _authenticate(keys)
            _authorize(g.key, role)

    app.before_request(check)


async def _authenticate(keys: SqlApiKeys) -> ApiKey:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise AuthError("Send your API key in a header: Authorization: Bearer flt_…", code="key_missing")
    key = await keys.find(credentials.strip(), datetime.now(UTC))
    if key is None:
        raise AuthError("This API key is unknown, revoked or expired. Ask an admin for a new one.")
    return key


def _authorize(key: ApiKey, role: Role) -> None:
    if _ORDER.index(key.role) < _ORDER.index(role):
        raise AuthError(f"This needs a key with the role {role}; yours is {key.role}.", code="role_too_low")
