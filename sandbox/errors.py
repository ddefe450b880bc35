"""Discord's errors: their codes, and the JSON shape in which Discord reports them."""

from http import HTTPStatus
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """One of Discord's errors: HTTP status, JSON error code and message (documented: Opcodes and Status Codes)."""

    status: int
    code: int
    message: str


UNAUTHORIZED = Fault(401, 0, "401: Unauthorized")
NOT_FOUND = Fault(404, 0, "404: Not Found")
UNKNOWN_CHANNEL = Fault(404, 10003, "Unknown Channel")
UNKNOWN_GUILD = Fault(404, 10004, "Unknown Guild")
UNKNOWN_MESSAGE = Fault(404, 10008, "Unknown Message")
UNKNOWN_WEBHOOK = Fault(404, 10015, "Unknown Webhook")
UNKNOWN_INTERACTION = Fault(404, 10062, "Unknown interaction")
UNKNOWN_COMMAND = Fault(404, 10063, "Unknown application command")
NOT_YOUR_APPLICATION = Fault(403, 20012, "You are not authorized to perform this action on this application")
TOO_MANY_COMMANDS = Fault(400, 30032, "Maximum number of application commands reached (100)")
TOO_MANY_CREATES = Fault(400, 30034, "Max number of daily application command creates has been reached (200)")
ALREADY_ACKNOWLEDGED = Fault(400, 40060, "Interaction has already been acknowledged.")
MISSING_ACCESS = Fault(403, 50001, "Missing Access")
CANNOT_EDIT_OTHERS = Fault(403, 50005, "Cannot edit a message authored by another user")
EMPTY_MESSAGE = Fault(400, 50006, "Cannot send an empty message")
INVALID_WEBHOOK_TOKEN = Fault(401, 50027, "Invalid Webhook Token")
INVALID_FORM_BODY = Fault(400, 50035, "Invalid Form Body")
INVALID_JSON = Fault(400, 50109, "The request body contains invalid JSON.")


def of_status(status: int) -> Fault:
    """Return the error Discord gives for a bare HTTP status, such as 405."""
    return Fault(status, 0, f"{status}: {HTTPStatus(status).phrase}")


class DiscordError(Exception):
    """A request that Discord refuses. `errors` holds the nested field errors of a 50035."""

    def __init__(self, fault: Fault, errors: dict[str, Any] | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.errors = errors

    def body(self) -> dict[str, Any]:
        """Return the JSON body Discord answers with."""
        body: dict[str, Any] = {"message": self.fault.message, "code": self.fault.code}
        return body | {"errors": self.errors} if self.errors else body


class FieldFaults:
    """Collects the faults of a request body by field, then raises them as one 50035."""

    def __init__(self) -> None:
        self._tree: dict[str, Any] = {}

    def add(self, path: tuple[str | int, ...], code: str, message: str) -> None:
        """Record a fault at `path`, the keys and indexes that lead to the field; () is the body itself."""
        node = self._tree
        for key in path:
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": code, "message": message})

    def required(self, path: tuple[str | int, ...]) -> None:
        """Record that a field is missing."""
        self.add(path, "BASE_TYPE_REQUIRED", "This field is required")

    def text(self, path: tuple[str | int, ...], value: object, longest: int, shortest: int = 0) -> bool:
        """Record what is wrong with a text of `shortest` to `longest` characters; return whether it is right."""
        if not isinstance(value, str):
            self.add(path, "STRING_TYPE_CONVERT", f'Could not interpret "{value}" as string.')
        elif shortest and not shortest <= len(value) <= longest:
            self.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {shortest} and {longest} in length.")
        elif len(value) > longest:
            self.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {longest} or fewer in length.")
        else:
            return True
        return False

    def sequence(self, path: tuple[str | int, ...], value: object, longest: int) -> list[Any]:
        """Return a list of at most `longest` entries; record a fault and return [] for anything else."""
        if not isinstance(value, list):
            self.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        elif len(value) > longest:
            self.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {longest} or fewer in length.")
        else:
            return value
        return []

    def mapping(self, path: tuple[str | int, ...], value: object) -> dict[str, Any]:
        """Return an object, {} for null; record a fault and return {} for anything else."""
        if value is None or isinstance(value, dict):
            return value or {}
        self.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
        return {}

    def integer(self, path: tuple[str | int, ...], value: object) -> None:
        """Record a fault unless `value` is an integer or null."""
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            self.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')

    def choice(self, path: tuple[str | int, ...], value: object, choices: tuple[int, ...]) -> bool:
        """Record a fault unless `value` is one of `choices`; return whether it is."""
        right = isinstance(value, int) and not isinstance(value, bool) and value in choices
        if not right:
            self.add(path, "BASE_TYPE_CHOICES", f"Value must be one of {{{', '.join(map(str, choices))}}}.")
        return right

    def raise_if_any(self) -> None:
        """Raise DiscordError 50035 if a fault was recorded."""
        if self._tree:
            raise DiscordError(INVALID_FORM_BODY, self._tree)
