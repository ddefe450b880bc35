"""URLs as hosters of PostgreSQL give them."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from flotilla.db.engine import Database, parse_url
from flotilla.db.postgresql_url import KNOWN, options
from flotilla.errors import RetryError, SetupError
from tests.contract.conftest import opened
from tests.services import Postgres

SECRET = "s3cr%2Fet%40"


async def _ask(url: str, what: str) -> object:
    async with opened(url) as database, database.read() as connection:
        return (await connection.execute(sa.text(what))).scalar_one()


@pytest.mark.postgres
@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "sslmode=disable",
        "sslmode=prefer",
        "sslmode=prefer&channel_binding=prefer&connect_timeout=5",
        "application_name=flotilla&options=-c%20statement_timeout%3D9s",
        "target_session_attrs=read-write",
        "target_session_attrs=any&keepalives=1&keepalives_idle=30&gssencmode=disable",
        "pgbouncer=true&connection_limit=2&pool_timeout=5",
        "statement_cache_size=0&prepared_statement_cache_size=0",
        "client_encoding=utf8&port=5432",
        f"password={SECRET}",
    ],
)
async def test_the_usual_parameters_connect(postgres: Postgres, parameters: str) -> None:
    for scheme in ("postgresql", "postgres"):
        url = postgres.url().replace("postgresql://", f"{scheme}://")
        assert await _ask(f"{url}&{parameters}".rstrip("&"), "SELECT 1") == 1


@pytest.mark.postgres
async def test_what_the_server_is_told_reaches_it(postgres: Postgres) -> None:
    url = f"{postgres.url()}&application_name=my%20fleet&options=-c%20statement_timeout%3D9s"
    assert await _ask(url, "SHOW application_name") == "my fleet"
    assert await _ask(url, "SHOW statement_timeout") == "9s"


@pytest.mark.postgres
async def test_a_server_without_tls_is_named_as_such(postgres: Postgres) -> None:
    with pytest.raises((SetupError, RetryError)) as raised:
        await _ask(f"{postgres.url()}&sslmode=require&host=127.0.0.1&port=1", "SELECT 1")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://u@[::1]:6543/d", "::1", 6543),
        ("postgresql://u@/d?host=/run/pg&port=6543", "/run/pg", 6543),
        ("postgresql://u@/d?host=/run/pg", "/run/pg", 5432),
        ("postgresql://u@/d?host=[fe80::1]", "fe80::1", 5432),
        ("postgresql://u@a.example:6543,b.example/d?sslmode=disable", ["a.example", "b.example"], [6543, 5432]),
        ("postgres://u:p%2Cw@a.example,b.example/d", ["a.example", "b.example"], [5432, 5432]),
    ],
)
def test_hosts_of_every_kind_are_understood(url: str, host: object, port: object) -> None:
    found = options(parse_url(url))
    assert found.arguments.get("host", found.url.host) == host
    assert found.arguments.get("port", found.url.port) == port
    assert found.url.database == "d"


def test_secrets_are_taken_as_they_are_meant_and_never_shown() -> None:
    for url in (f"postgresql://u:{SECRET}@h/d", f"postgresql://u@h/d?password={SECRET}&sslpassword={SECRET}"):
        assert options(parse_url(url)).url.password == "s3cr/et@"
        shown = Database(url).url.render_as_string(hide_password=True)
        assert "s3cr" not in shown


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("colour=blue&sslmode=disable&shape=round", "colour, shape"),
        ("sslmode=yes", "sslmode"),
        ("connect_timeout=soon", "connect_timeout"),
        ("target_session_attrs=best", "target_session_attrs"),
        ("sslrootcert=/no/such/file.pem", "sslrootcert"),
        ("sslmode=require&sslrootcert=system", "sslrootcert"),
        ("gssencmode=require", "gssencmode"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(parameters: str, named: str) -> None:
    with pytest.raises(SetupError) as raised:
        Database(f"postgresql://u:{SECRET}@h/d?{parameters}")
    assert raised.value.code == "database_url_invalid"
    assert named in raised.value.message
    assert SECRET not in raised.value.message
    assert "s3cr" not in raised.value.message


def test_who_wants_the_channel_bound_gets_the_certificate_checked() -> None:
    arguments = options(parse_url("postgresql://u@h/d?sslmode=require&channel_binding=require")).arguments
    assert arguments["ssl"].check_hostname


def test_every_parameter_is_documented() -> None:
    text = Path("docs/settings.md").read_text()
    assert {name for name in KNOWN if f"`{name}`" not in text} == set()
