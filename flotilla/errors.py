"""One root for every error we raise on purpose. A subclass says what the caller can do about it.

`code` is stable: it is answered by the API, logged, and searched for. The message tells the reader what to do next.
"""


class FlotillaError(Exception):
    """Root. `code` names the fault; `fields` are the typed facts behind it, safe to log and to answer."""

    code = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        if code is not None:
            self.code = code


class FixInputError(FlotillaError):
    """The request can never succeed as it stands. The caller changes it."""

    code = "invalid_input"


class NotFoundError(FixInputError):
    """There is no such thing, or no longer."""

    code = "not_found"


class ConflictError(FixInputError):
    """It collides with something that exists."""

    code = "conflict"


class RetryError(FlotillaError):
    """Something we depend on is away for now. The same request can succeed later."""

    code = "unavailable"


class SetupError(FlotillaError):
    """This installation is misconfigured; no retry helps until somebody mends it. Programs exit with 78 (EX_CONFIG)."""

    code = "misconfigured"
