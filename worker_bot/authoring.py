"""What a bot's code may say to Flotilla. It needs to say nothing."""

_sensitive: dict[str, frozenset[str]] = {}


def sensitive(command: str, *options: str) -> None:
    """Declare options whose values are not to be stored in command logs.

    command: its name with its subcommands, such as `account login`, or the custom id of a modal. Once per process is
    enough: at import of an extension, say.
    """
    _sensitive[command] = _sensitive.get(command, frozenset()) | frozenset(options)


def sensitive_options(command: str) -> frozenset[str]:
    """Return the options of a command that were declared so."""
    return _sensitive.get(command, frozenset())
