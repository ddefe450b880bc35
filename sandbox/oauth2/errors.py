"""The errors of OAuth2: RFC 6749's codes with the descriptions Discord gives."""

from typing import Final

ACCESS_DENIED: Final = "The resource owner or authorization server denied the request"
INVALID_SCOPE: Final = "The requested scope is invalid, unknown, or malformed."


class OAuth2Error(Exception):
    """A request that the authorization server refuses. `error` is RFC 6749's code."""

    def __init__(self, error: str, description: str | None = None, status: int = 400) -> None:
        super().__init__(description or error)
        self.error = error
        self.description = description
        self.status = status

    def fields(self) -> dict[str, str]:
        """Return the fields of the answer, or of the redirect."""
        if self.description is None:
            return {"error": self.error}
        return {"error": self.error, "error_description": self.description}


def invalid(name: str, error: str = "invalid_grant") -> OAuth2Error:
    """Return the error for a parameter with a wrong value."""
    return OAuth2Error(error, f'Invalid "{name}" in request.')


def missing(name: str) -> OAuth2Error:
    """Return the error for a parameter that is not there."""
    return OAuth2Error("invalid_request", f'Missing "{name}" in request.')
