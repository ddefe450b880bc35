"""Discord's errors: their codes, and the JSON shape in which Discord reports them."""

from http import HTTPStatus
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """One of Discord's errors: HTTP status, JSON error code and message (documented: Opcodes and Status Codes)."""

    status: int
    code: int
    message: str


RATE_LIMITED = Fault(429, 0, "You are being rate limited.")
RESOURCE_RATE_LIMITED = Fault(429, 0, "The resource is being rate limited.")
UNAUTHORIZED = Fault(401, 0, "401: Unauthorized")  # observed: what a bad or reset token gets
UNAUTHORIZED_AS_DOCUMENTED = Fault(401, 40001, "Unauthorized. Provide a valid token and try again")
SERVER_ERROR = Fault(500, 0, "500: Internal Server Error")
NOT_FOUND = Fault(404, 0, "404: Not Found")
UNKNOWN_ACCOUNT = Fault(404, 10001, "Unknown Account")
UNKNOWN_APPLICATION = Fault(404, 10002, "Unknown Application")
UNKNOWN_CHANNEL = Fault(404, 10003, "Unknown Channel")
UNKNOWN_GUILD = Fault(404, 10004, "Unknown Guild")
UNKNOWN_MESSAGE = Fault(404, 10008, "Unknown Message")
UNKNOWN_MEMBER = Fault(404, 10007, "Unknown Member")
UNKNOWN_OVERWRITE = Fault(404, 10009, "Unknown Overwrite")
UNKNOWN_ROLE = Fault(404, 10011, "Unknown Role")
UNKNOWN_USER = Fault(404, 10013, "Unknown User")
UNKNOWN_EMOJI = Fault(400, 10014, "Unknown Emoji")
UNKNOWN_BAN = Fault(404, 10026, "Unknown Ban")
UNKNOWN_WEBHOOK = Fault(404, 10015, "Unknown Webhook")
UNKNOWN_INTERACTION = Fault(404, 10062, "Unknown interaction")
UNKNOWN_COMMAND_PERMISSIONS = Fault(404, 10066, "Unknown application command permissions")
UNKNOWN_COMMAND = Fault(404, 10063, "Unknown application command")
CHANNEL_WRITE_LIMIT = Fault(
    429, 20028, "The write action you are performing on the channel has hit the write rate limit."
)
NOT_YOUR_APPLICATION = Fault(403, 20012, "You are not authorized to perform this action on this application")
TOO_MANY_PINS = Fault(400, 30003, "Maximum number of pins reached for the channel (250)")
TOO_MANY_ROLES = Fault(400, 30005, "Maximum number of guild roles reached (250)")
TOO_MANY_REACTIONS = Fault(400, 30010, "Maximum number of reactions reached (20)")
TOO_MANY_CHANNELS = Fault(400, 30013, "Maximum number of guild channels reached (500)")
ENTRY_POINT_LEFT_OUT = Fault(
    400,
    50240,
    "You cannot remove this app's Entry Point command in a bulk update operation. "
    "Please include the Entry Point command in your update request or delete it separately.",
)
TOO_MANY_COMMANDS = Fault(400, 30032, "Maximum number of application commands reached (100)")
TOO_MANY_CREATES = Fault(400, 30034, "Max number of daily application command creates has been reached (200)")
TOO_MANY_WEBHOOKS = Fault(400, 30007, "Maximum number of webhooks reached (15)")
TOO_MANY_OLD_EDITS = Fault(
    429, 30046, "Maximum number of edits to messages older than 1 hour reached. Try again later."
)
TOO_LARGE = Fault(413, 40005, "Request entity too large")
ALREADY_ACKNOWLEDGED = Fault(400, 40060, "Interaction has already been acknowledged.")
MISSING_ACCESS = Fault(403, 50001, "Missing Access")
NOT_IN_DM = Fault(403, 50003, "Cannot execute action on a DM channel")
CANNOT_EDIT_OTHERS = Fault(403, 50005, "Cannot edit a message authored by another user")
EMPTY_MESSAGE = Fault(400, 50006, "Cannot send an empty message")
CANNOT_DM_USER = Fault(400, 50007, "Cannot send messages to this user")
NOT_A_TEXT_CHANNEL = Fault(400, 50008, "Cannot send messages in a non-text channel")
NOT_IN_VOICE = Fault(400, 40032, "Target user is not connected to voice.")
TOO_FEW_BOOSTS = Fault(403, 50101, "This server needs more boosts to perform this action")
THREADS_NEED_A_FORUM = Fault(400, 220003, "Webhooks can only create threads in forum channels")
MISSING_PERMISSIONS = Fault(403, 50013, "Missing Permissions")
SYSTEM_MESSAGE = Fault(403, 50021, "Cannot execute action on a system message")
INVALID_ROLE = Fault(400, 50028, "Invalid Role")
TOO_FEW_TO_DELETE = Fault(
    400,
    50016,
    "Provided too few or too many messages to delete. Must provide at least 2 and fewer than 100 messages to delete",
)
INVALID_WEBHOOK_TOKEN = Fault(401, 50027, "Invalid Webhook Token")
INVALID_FORM_BODY = Fault(400, 50035, "Invalid Form Body")
INVALID_STICKER = Fault(400, 50081, "Invalid sticker sent")
TOO_OLD_TO_DELETE = Fault(400, 50034, "A message provided was too old to bulk delete")
INVALID_API_VERSION = Fault(400, 50041, "Invalid API version")
INVALID_JSON = Fault(400, 50109, "The request body contains invalid JSON.")


def of_status(status: int) -> Fault:
    """Return the error Discord gives for a bare HTTP status, such as 405."""
    return Fault(status, 0, f"{status}: {HTTPStatus(status).phrase}")


_ERRORS = "_errors"
_KEY_SHOWN, _MESSAGE_SHOWN = 100, 500  # ours: a fault quotes what the client sent, and that may be megabytes


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
        self.count = 0

    def add(self, path: tuple[str | int, ...], code: str, message: str) -> None:
        """Record a fault at `path`, the keys and indexes that lead to the field; () is the body itself.

        A client's own keys may stand in the path; one called `_errors` must not meet the list of that name.
        """
        self.count += 1
        node = self._tree
        for key in path:
            node = node.setdefault(f"{key}_" if key == _ERRORS else str(key)[:_KEY_SHOWN], {})
        node.setdefault(_ERRORS, []).append({"code": code, "message": message[:_MESSAGE_SHOWN]})

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

    def number(self, path: tuple[str | int, ...], value: object, least: int, most: int) -> None:
        """Record a fault unless `value` is an integer from `least` to `most`, or null."""
        self.integer(path, value)
        if isinstance(value, int) and not isinstance(value, bool) and not least <= value <= most:
            self.add(path, "NUMBER_TYPE_RANGE", f"int value should be between {least} and {most}.")

    def choice(self, path: tuple[str | int, ...], value: object, choices: tuple[int, ...]) -> bool:
        """Record a fault unless `value` is one of `choices`; return whether it is."""
        right = isinstance(value, int) and not isinstance(value, bool) and value in choices
        if not right:
            self.add(path, "BASE_TYPE_CHOICES", f"Value must be one of {{{', '.join(map(str, choices))}}}.")
        return right

    def raise_if_any(self) -> None:
        """Raise DiscordError 50035 if a fault was recorded."""
        if self._tree:
            raise DiscordError(INVALID_FORM_BODY, _pruned(self._tree))


def _pruned(node: dict[str, Any]) -> dict[str, Any]:
    """Return a tree of faults in which no field has faults both of its own and within: Discord tells the inner ones."""
    inner = {key: _pruned(value) for key, value in node.items() if key != _ERRORS}
    return inner or node
