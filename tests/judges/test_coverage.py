"""docs/sandbox.md and sandbox-coverage.md tell what the sandbox serves. UPDATE_DOCS=1 writes both anew."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web

from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.judges import description
from tests.judges.description import METHODS, segments
from tests.judges.deviations import NOT_DESCRIBED

DOCS = Path(__file__).parents[2] / "docs"
SUMMARY, ROUTES = DOCS / "sandbox.md", DOCS / "sandbox-coverage.md"
REGENERATE = "UPDATE_DOCS=1 .venv/bin/pytest tests/judges/test_coverage.py"
_GENERATED = re.compile(r"(<!-- coverage -->\n).*?(<!-- end -->)", re.DOTALL)
_PREFIX = re.compile(r"/api(?:/v[^/]+)?(?=/)")
# The one literal segment that stands for an id: routes take it where a message's id stands.
_STANDS_FOR_AN_ID = "@original"


class Route(NamedTuple):
    """A method, and a path below `/api/v10` with parameters in braces."""

    method: str
    path: str

    def serves(self, described: "Route") -> bool:
        mine, wanted = segments(self.path), segments(described.path)
        return (
            self.method == described.method
            and len(mine) == len(wanted)
            and all(_matches(a, b) for a, b in zip(mine, wanted, strict=True))
        )


def _matches(mine: str, wanted: str) -> bool:
    if mine.startswith("{"):
        return wanted.startswith("{") or wanted == _STANDS_FOR_AN_ID
    return mine == wanted


@pytest.fixture
def described() -> list[Route]:
    document = description.read()
    if document is None:
        pytest.skip(description.ABSENT)
    return [Route(operation.method, operation.template) for operation in description.operations(document)]


@pytest.fixture
async def registered() -> list[Route]:
    """What the running sandbox has registered, as its own router tells."""
    found: list[Route] = []

    @web.middleware
    async def spy(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        for route in request.app.router.routes():
            path = route.resource.canonical if route.resource is not None else ""
            if _PREFIX.match(path) and route.method.lower() in METHODS:
                found.append(Route(route.method, _PREFIX.sub("", path, count=1)))
        return await handler(request)

    discord = LocalDiscord(Mint(b"a secret of the tests"), time.time, Rules())
    async with serve(discord, "127.0.0.1", 0, [spy]) as url, aiohttp.ClientSession() as http:
        await (await http.get(f"{url}/sandbox/healthz")).read()
    return sorted(set(found))


class Coverage(NamedTuple):
    """The generated parts of the two pages."""

    summary: str
    routes: str


def coverage(described: Iterable[Route], registered: Iterable[Route]) -> Coverage:
    routes = list(registered)
    served: dict[str, list[Route]] = defaultdict(list)
    missing: dict[str, list[Route]] = defaultdict(list)
    for route in described:
        part = served if any(mine.serves(route) for mine in routes) else missing
        part[segments(route.path)[0]].append(route)
    families = sorted(served.keys() | missing.keys())
    rows = [
        f"| {family} | {len(served[family]) + len(missing[family])} | {len(served[family])} |" for family in families
    ]
    counts = [sum(map(len, part.values())) for part in (served, missing)]
    summary = ["| Family | Described | Served |", "|---|--:|--:|", *rows, f"| all | {sum(counts)} | {counts[0]} |"]
    lines: list[str] = []
    for family in families:
        lines += ["", f"## {family}"]
        lines += [f"- `{route.method} {route.path}`" for route in served[family]]
        if missing[family]:
            lines += (
                ["", f"Not served: {_compact(missing[family])}."]
                if served[family]
                else [f"Not served: {_compact(missing[family])}."]
            )
    return Coverage("\n".join(summary), "\n".join(lines[1:]))


def _compact(routes: Iterable[Route]) -> str:
    methods: dict[str, list[str]] = defaultdict(list)
    for route in routes:
        methods[route.path].append(route.method)
    return ", ".join(f"`{'|'.join(of_path)} {path}`" for path, of_path in methods.items())


@pytest.mark.parametrize(("page", "part"), [(SUMMARY, 0), (ROUTES, 1)], ids=["summary", "routes"])
def test_coverage_is_what_the_router_says(
    described: list[Route], registered: list[Route], page: Path, part: int
) -> None:
    expected, text = coverage(described, registered)[part], page.read_text()
    wanted = _GENERATED.sub(lambda match: f"{match[1]}{expected}\n{match[2]}", text)
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(wanted)
        return
    assert _GENERATED.search(text)
    assert text == wanted, f"run {REGENERATE}"


def test_every_route_is_described_or_has_a_reason(described: list[Route], registered: list[Route]) -> None:
    strangers = [route for route in registered if not any(route.serves(known) for known in described)]
    assert set(strangers) <= {Route(*key) for key in NOT_DESCRIBED}


def test_literal_segment_of_the_description_needs_a_literal_route() -> None:
    assert not Route("GET", "/users/{user_id}").serves(Route("GET", "/users/@me"))
    assert not Route("GET", "/users/@me").serves(Route("GET", "/users/{user_id}"))
    assert Route("GET", "/a/{x}/messages/{y}").serves(Route("GET", "/a/{b}/messages/@original"))
    assert not Route("GET", "/a/{x}").serves(Route("PUT", "/a/{x}"))
    assert not Route("GET", "/a/{x}").serves(Route("GET", "/a/{x}/b"))


def test_route_that_is_gone_changes_the_table(described: list[Route], registered: list[Route]) -> None:
    fewer = [route for route in registered if route.path != "/users/@me"]
    assert "- `GET /users/@me`" in coverage(described, registered).routes
    assert "`GET|PATCH /users/@me`" in coverage(described, fewer).routes
