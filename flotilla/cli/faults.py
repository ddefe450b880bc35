"""What goes wrong between the command line and the API."""

from flotilla.errors import FlotillaError


class CommandError(FlotillaError):
    """The command cannot be done. Ends as its sentence and exit code 1."""

    code = "command_failed"


class ApiError(CommandError):
    """The API refused. `status` is HTTP's; `code` is the problem's."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message, code=code, status=status)
        self.status = status
