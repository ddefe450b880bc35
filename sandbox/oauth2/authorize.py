"""What an application asks for at the authorization page: the query, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sandbox.oauth2.errors import INVALID_SCOPE, OAuth2Error

# documented: OAuth2, Shared Resources; applications.commands.update is for client credentials only
SCOPES = frozenset((
    "activities.read", "activities.write", "applications.builds.read", "applications.builds.upload",
    "applications.commands", "applications.commands.permissions.update", "applications.commands.update",
    "applications.entitlements", "applications.store.update", "bot", "connections", "dm_channels.read", "email",
    "gdm.join", "guilds", "guilds.join", "guilds.members.read", "identify", "identify.premium", "messages.read",
    "relationships.read", "role_connections.write", "rpc", "rpc.activities.write", "rpc.notifications.read",
    "rpc.voice.read", "rpc.voice.write", "voice", "webhook.incoming",
))  # fmt: skip
_CLIENT_ONLY = frozenset({"applications.commands.update"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request for a user's authorization. `challenge` is PKCE's, of method S256."""

    application_id: str
    implicit: bool
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    prompt: str
    challenge: str | None

    def url(self, fields: Mapping[str, str]) -> str:
        """Return where the browser goes with the answer: in the query, for the implicit grant in the fragment."""
        return redirect_url(self.redirect_uri, self.state, fields, in_fragment=self.implicit and "error" not in fields)


def redirect_url(uri: str, state: str | None, fields: Mapping[str, str], *, in_fragment: bool = False) -> str:
    """Return the redirect URI with the fields, and the state if there is one."""
    answer = dict(fields) | ({} if state is None else {"state": state})
    parts = urlsplit(uri)
    if in_fragment:
        return urlunsplit(parts._replace(fragment=urlencode(answer)))
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), *answer.items()])))


def redirect_uri_of(query: Mapping[str, str], registered: tuple[str, ...]) -> str:
    """Return the redirect URI of a request: a registered one, the first if the request names none (documented).

    Raises ValueError, whose message belongs on the page: an answer must not go to an address nobody registered.
    """
    uri = query.get("redirect_uri") or (registered[0] if registered else "")
    if uri not in registered:
        raise ValueError("Invalid OAuth2 redirect_uri")
    return uri


def read_scopes(text: str) -> tuple[str, ...]:
    """Return the scopes in a list separated by spaces. Raises OAuth2Error for an empty list and an unknown scope."""
    scopes = tuple(dict.fromkeys(text.split()))
    if not scopes or not SCOPES.issuperset(scopes):
        raise OAuth2Error("invalid_scope", INVALID_SCOPE)
    return scopes


def read(query: Mapping[str, str], application_id: str, redirect_uri: str) -> Asked:
    """Return what a request asks for. Raises OAuth2Error, which the browser carries to the redirect URI."""
    response_type = query.get("response_type")
    if response_type not in {"code", "token"}:
        raise OAuth2Error("unsupported_response_type", "The authorization server does not support this response type")
    scopes = read_scopes(query.get("scope", ""))
    if _CLIENT_ONLY.intersection(scopes):
        raise OAuth2Error("invalid_scope", INVALID_SCOPE)
    challenge = query.get("code_challenge")
    if challenge is not None and query.get("code_challenge_method") != "S256":
        raise OAuth2Error("invalid_request", "Code challenge method must be S256")
    return Asked(
        application_id=application_id,
        implicit=response_type == "token",
        redirect_uri=redirect_uri,
        scopes=scopes,
        state=query.get("state"),
        prompt=query.get("prompt", "consent"),
        challenge=challenge,
    )
