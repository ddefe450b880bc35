"""Which environment variables code of a bot's own gets: a list of those that it may have, and no other. Pure.

What else stands in the environment of an operator's shell or container is meant for somebody else: settings with
passwords, credentials of a cloud, proxies. Standard library only: it is imported before anything else is.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

INHERITED: Final = frozenset(
    {
        # who, where, in which language and zone: environ(7), locale(7), tzset(3)
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR"),
        # what TLS trusts: SSL_CTX_set_default_verify_paths(3)
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        # the loader and the C library: ld.so(8), mallopt(3). Without them an interpreter may not even start
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES"),
        # how its interpreter is set up: Python's documentation, Command line and environment
        *("PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONUTF8"),
        *("PYTHONIOENCODING", "PYTHONCOERCECLOCALE", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONDEVMODE"),
        *("PYTHONOPTIMIZE", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONMALLOC", "PYTHONFAULTHANDLER"),
        *("PYTHONTRACEMALLOC", "PYTHONASYNCIODEBUG", "VIRTUAL_ENV"),
        # measuring the tests of the code that runs there: coverage.py, Measuring subprocesses
        *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
    }
)
PREFIXES: Final = ("LC_", "MALLOC_")
"""Of names that are inherited, too: locale(7), mallopt(3)."""

SETTING: Final = "FLOTILLA_BOT_ENVIRONMENT"
"""Names that the operator lets through besides."""

NEVER: Final = ("FLOTILLA_", "SUPERVISOR_")
"""Of our own settings, which can hold passwords, and of supervisord: no setting lets them through."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def is_inherited(name: str) -> bool:
    """Return whether a variable reaches bots' code without a setting."""
    return name in INHERITED or name.startswith(PREFIXES)


def names_of(text: str) -> tuple[str, ...]:
    """Return the names in a setting, separated by commas. Raises ValueError for what is no name, or of ours."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError("must be names of environment variables, separated by commas, without their values")
        if name.startswith(NEVER):
            raise ValueError(f"{name} is not for bots: it may hold a password of Flotilla's own")
    return names


def inherited(environment: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """Return what of an environment bots' code gets. also: names that the operator lets through besides."""
    wanted = {name for name in also if not name.startswith(NEVER)}
    return {name: value for name, value in environment.items() if is_inherited(name) or name in wanted}


def of_bots(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the same with the names of the setting as it stands in there. One that is malformed lets nothing through.

    A program with such a setting does not start, and says why.
    """
    try:
        also = names_of(environment.get(SETTING, ""))
    except ValueError:
        also = ()
    return inherited(environment, also)
