"""Who may make control calls. A web page in a browser may not, whatever it tries."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from sandbox.control import door
from sandbox.control.door import ControlError, Door
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox.conftest import Sandbox

NAME = b'{"name": "alpha"}'
JSON = {"Content-Type": "application/json"}


async def call(sandbox: Sandbox, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str]:
    """Register an application, or list them without a body; return the status and the error's code."""
    url = f"{sandbox.url}/sandbox/applications"
    method = "GET" if body is None else "POST"
    async with sandbox.http.request(method, url, data=body, headers=headers, skip_auto_headers=["Content-Type"]) as got:
        return got.status, (await got.json()).get("error", {}).get("code", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8:1", "[::1]:9900", "localhost:80", "LOCALHOST"])
async def test_loopback_is_called_by_any_of_its_names(sandbox: Sandbox, host: str) -> None:
    assert await call(sandbox, {**sandbox.key, "Host": host}) == (200, "")
    assert await call(sandbox, {**sandbox.key, "Host": host, "Origin": f"http://{host}"}) == (200, "")


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "127.0.0.1.example.com", "localhost.", "10.0.0.1", "0.0.0.0", "127.1", "2130706433"),
        *("[::]:80", "[", "[::1", "", " ", "a@127.0.0.1", "127.0.0.1/", "127.0.0.1:x", "127.0.0.1, example.com"),
    ],
)
async def test_page_whose_name_was_made_to_lead_here_is_refused(sandbox: Sandbox, host: str) -> None:
    assert await call(sandbox, {**sandbox.key, "Host": host}) == (403, "foreign_host")


@pytest.mark.parametrize(
    "origin", ["https://example.com", "null", "", "http://127.0.0.1", "http://localhost:1", "https://127.0.0.1:9"]
)
async def test_page_of_another_place_is_refused(sandbox: Sandbox, origin: str) -> None:
    assert await call(sandbox, {**sandbox.key, "Origin": origin}, NAME) == (403, "foreign_origin")


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Bot {}", "{}", "Bearer {}x", "é"])
async def test_call_without_the_key_is_refused_and_told_where_it_is(sandbox: Sandbox, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.format(sandbox.discord.control_key)}
    assert await call(sandbox, headers | JSON, NAME) == (401, "wrong_key")
    async with sandbox.http.get(f"{sandbox.url}/sandbox/applications", headers=headers) as got:
        assert "The sandbox printed it when it started." in (await got.json())["error"]["message"]
    assert not list(sandbox.discord.world)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; b=x"])
async def test_body_that_a_form_could_send_is_refused(sandbox: Sandbox, kind: str | None) -> None:
    headers = sandbox.key if kind is None else {**sandbox.key, "Content-Type": kind}
    assert await call(sandbox, headers, NAME) == (415, "not_json")
    assert await call(sandbox, {**sandbox.key, "Content-Type": "application/json; charset=utf-8"}, NAME) == (200, "")


async def test_every_control_call_wants_the_key(sandbox: Sandbox) -> None:
    """Whatever is under /sandbox in the router, there or not, however its path is written."""
    tried = 0
    async with served("127.0.0.1") as (discord, url), aiohttp.ClientSession() as http:
        await http.get(url)
        for method, path in routes():
            async with http.request(method, url + path.replace("{", "").replace("}", "")) as got:
                assert got.status == 401, (method, path)
            tried += 1
        for path in ("/sandbox", "/sandbox/nowhere", "/%73andbox/applications", "/sandbox/../sandbox/applications"):
            async with http.post(url + path, json={"name": "alpha"}) as got:
                assert got.status == 401, path
        for path in ("//sandbox/applications", "/SANDBOX/applications", "/x/..;/sandbox/applications"):
            async with http.post(url + path, json={"name": "alpha"}) as got:
                assert got.status in {401, 404}, path
        assert not list(discord.world)
    assert tried > 40


def routes() -> list[tuple[str, str]]:
    from sandbox.server import _CONTROL  # noqa: PLC0415

    return [(route.method, route.path) for module in _CONTROL for route in module.ROUTES]


@asynccontextmanager
async def served(host: str) -> AsyncIterator[tuple[LocalDiscord, str]]:
    discord = LocalDiscord(Mint(b"a secret of the tests"), lambda: 1_900_000_000.0, Rules())
    async with serve(discord, host, 0) as url:
        yield discord, url


async def test_discords_own_paths_want_neither_key_nor_host(sandbox: Sandbox) -> None:
    _, token = await sandbox.application()
    headers = {"Host": "example.com", "Origin": "https://example.com", "Authorization": f"Bot {token}"}
    async with sandbox.http.get(f"{sandbox.url}/api/v10/users/@me", headers=headers) as got:
        assert got.status == 200
    async with sandbox.http.ws_connect(f"{sandbox.url}/gateway?v=10", headers={"Origin": "https://example.com"}) as own:
        assert (await own.receive_json(timeout=5))["op"] == 10


async def test_two_hosts_in_one_request_are_refused(sandbox: Sandbox) -> None:
    address = urlsplit(sandbox.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    key = sandbox.key["Authorization"]
    writer.write(
        f"GET /sandbox/healthz HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1\r\nAuthorization: {key}\r\n\r\n".encode()
    )
    line = await asyncio.wait_for(reader.readline(), 30)
    assert line.split()[1] in {b"400", b"403"}
    writer.close()


def test_only_this_machine_is_answered() -> None:
    for local in (None, "127.0.0.1", "198.51.100.1"):
        with pytest.raises(ControlError, match="this machine"):
            door.check_here("203.0.113.7", local)
    with pytest.raises(ControlError, match="this machine"):
        door.check_here(None, None)
    for remote in ("::1", "127.0.0.2", "::ffff:127.0.0.1"):
        door.check_here(remote, "203.0.113.7")
    door.check_here("203.0.113.7", "203.0.113.7")  # bound to that address, and called by it from here


def test_sandbox_with_a_host_of_its_own_is_called_by_it_and_by_loopback() -> None:
    own = Door("192.0.2.7", "k", "")
    assert own._checked_host(["192.0.2.7:9900"]) == "192.0.2.7:9900"
    assert own._checked_host(["127.0.0.1:9900"])
    with pytest.raises(ControlError, match=r"Control calls go to 192\.0\.2\.7, by that address"):
        own._checked_host(["example.com"])
    for everywhere in door.ANYWHERE:
        with pytest.raises(ControlError, match=r"Control calls go to 127\.0\.0\.1, by that address"):
            Door(everywhere, "k", "")._checked_host(["0.0.0.0:9900"])


def test_key_file_is_its_owners_alone_also_when_it_was_not(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.key"
    file.write_text("k\n")
    file.chmod(0o644)
    door.write_key(file, "k")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("k\n", 0o600)
    before = file.stat().st_ino
    door.write_key(file, "k")
    assert file.stat().st_ino == before
    door.write_key(file, "another")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("another\n", 0o600)
