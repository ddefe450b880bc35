"""URLs of PostgreSQL as hosters give them: libpq's parameters in the words of our driver, which knows few of them.

Source: PostgreSQL documentation, Database Connection Control Functions, Parameter Key Words; asyncpg's `connect`.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa

from flotilla.errors import SetupError

PORT = 5432
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSIONS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_TLS = (
    "sslmode",
    *_FILES,
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
_OF_THE_URL = ("host", "port", "user", "password", "dbname", "database")
_AS_THEY_ARE = ("passfile", "krbsrvname", "gsslib", "service", "servicefile")
_OF_THE_SERVER = ("application_name", "options")
_NUMBERS = (
    "connect_timeout",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "connection_limit",
    "pool_timeout",
)
_CHOICES = {
    "sslmode": SSL_MODES,
    "target_session_attrs": SESSIONS,
    "channel_binding": ("disable", "prefer", "require"),
    "pgbouncer": ("true", "false"),
    # The driver has none of it.
    "gssencmode": ("disable", "prefer"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8", "auto"),
}
_WITHOUT_EFFECT = (
    # Statements and connections have timeouts of our own, which find a dead connection sooner.
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",
    "sslsni",
    "fallback_application_name",
)
KNOWN = frozenset(
    (*_OF_THE_URL, *_TLS, *_AS_THEY_ARE, *_OF_THE_SERVER, *_NUMBERS, *_CHOICES, *_WITHOUT_EFFECT),
)
_SEVERAL_HOSTS = re.compile(
    r"(?P<scheme>postgres(?:ql)?(?:\+\w+)?://(?:[^/?#]*@)?)(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<rest>.*)"
)


@dataclass(frozen=True, slots=True)
class PostgresqlOptions:
    """How a URL is connected to. url: what of it the engine is given. arguments: the driver's. pool: the pool's."""

    url: sa.URL
    arguments: dict[str, Any] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)


def with_hosts_in_query(url: str) -> str:
    """Return the URL with several hosts, which SQLAlchemy does not take before the path, among its parameters."""
    match = _SEVERAL_HOSTS.fullmatch(url)
    if match is None:
        return url
    mark = "&" if "?" in match["rest"] else "?"
    return f"{match['scheme']}{match['rest']}{mark}host={match['hosts']}"


def options(url: sa.URL) -> PostgresqlOptions:
    """Return how to connect to a PostgreSQL by that URL.

    Raises SetupError (`database_url_invalid`) that names a parameter which is unknown or cannot be used, never a
    secret.
    """
    query = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    _check(query)
    numbers = {name: _number(name, query[name]) for name in _NUMBERS if name in query}
    arguments: dict[str, Any] = {name: query[name] for name in (*_AS_THEY_ARE, "target_session_attrs") if name in query}
    settings = {name: query[name] for name in _OF_THE_SERVER if name in query}
    if "fallback_application_name" in query:
        settings.setdefault("application_name", query["fallback_application_name"])
    if settings:
        arguments["server_settings"] = settings
    if numbers.get("connect_timeout"):  # 0 is libpq's for ever, which nothing here may take
        arguments["timeout"] = numbers["connect_timeout"]
    arguments |= _caches(query, numbers) | _tls(query) | _hosts(url, query)
    bare = url.set(
        username=url.username or query.get("user"),
        password=url.password if url.password is not None else query.get("password"),
        database=url.database or query.get("dbname") or query.get("database"),
        query={},
    )
    return PostgresqlOptions(bare, arguments, _pool(numbers))


def without_secrets(url: sa.URL) -> sa.URL:
    """Return the URL as it may be shown, but for its password, which SQLAlchemy hides."""
    return url.difference_update_query(["password", "sslpassword"])


def _check(query: Mapping[str, str]) -> None:
    unknown = ", ".join(sorted(set(query) - KNOWN))
    if unknown:
        raise _invalid(f"has parameters that Flotilla does not know: {unknown}. See docs/settings.md.")
    for name, allowed in _CHOICES.items():
        if name in query and query[name] not in allowed:
            raise _invalid(f"has {name}={query[name][:20]!r}. It may be one of: {', '.join(allowed)}.")


def _pool(numbers: Mapping[str, int]) -> dict[str, Any]:
    limit, wait_s = numbers.get("connection_limit"), numbers.get("pool_timeout")
    pool: dict[str, Any] = {"pool_size": limit, "max_overflow": 0} if limit else {}
    return pool | ({"pool_timeout": wait_s} if wait_s else {})


def _hosts(url: sa.URL, query: Mapping[str, str]) -> dict[str, Any]:
    if "host" not in query:
        return {} if "port" not in query else {"port": _number("port", query["port"])}
    ports = [_number("port", each) for each in query["port"].split(",")] if "port" in query else [url.port or PORT]
    hosts, found = query["host"].split(","), []
    for index, each in enumerate(hosts):
        host, separator, port = each.rpartition(":") if not each.startswith("/") else (each, "", "")
        bare = (host if separator and not each.endswith("]") else each).strip("[]")
        found.append((bare, _number("port", port) if bare != each.strip("[]") else ports[min(index, len(ports) - 1)]))
    if len(found) == 1:
        return {"host": found[0][0], "port": found[0][1]}
    return {"host": [host for host, _ in found], "port": [port for _, port in found]}


def _caches(query: Mapping[str, str], numbers: Mapping[str, int]) -> dict[str, Any]:
    """A pooler that hands out another connection for each transaction knows no statement that was prepared before."""
    pooled = query.get("pgbouncer") == "true"
    own = {name: numbers[name] for name in ("statement_cache_size", "prepared_statement_cache_size") if name in numbers}
    off = {"statement_cache_size": 0, "prepared_statement_cache_size": 0, "prepared_statement_name_func": _no_name}
    return (off if pooled else {}) | own


def _no_name() -> str:
    """Prepare without a name: the next one takes its place, on whatever connection that is."""
    return ""


def _tls(query: Mapping[str, str]) -> dict[str, Any]:
    given = {name: query[name] for name in _TLS if name in query}
    # The driver cannot bind the channel. Who wants it wants nobody in between, which a checked certificate gives, too.
    if query.get("channel_binding") == "require":
        given["sslmode"] = "verify-full"
        given.setdefault("sslrootcert", "system")
    for name in _FILES:
        if name in given and (name, given[name]) != ("sslrootcert", "system") and not Path(given[name]).is_file():
            raise _invalid(f"names a file with {name} that is not there: {given[name]}")
    if given.get("sslrootcert") != "system":
        return {"dsn": f"postgresql://?{urlencode(given)}"} if given else {}
    if given.get("sslmode", "verify-full") != "verify-full":
        raise _invalid("has sslrootcert=system, which goes with sslmode=verify-full alone.")
    context = ssl.create_default_context()
    if "sslcert" in given:
        context.load_cert_chain(given["sslcert"], given.get("sslkey"), given.get("sslpassword"))
    return {"ssl": context}


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 6:  # noqa: PLR2004 - none of them is a million
        raise _invalid(f"has {name}={text[:20]!r}, which is not a number.")
    return int(text)


def _invalid(what: str) -> SetupError:
    return SetupError(f"FLOTILLA_DATABASE_URL {what}", code="database_url_invalid")
