"""Beside each other: what hikari does when Discord limits it or loses an answer, and what a worker's hikari does.

The first of each pair pins the release of hikari that we mend: when it fails, that release has changed, and what
`worker_bot.rest` does about it may be let go.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.local_discord import LocalDiscord, Rules
from sandbox.server import serve
from sandbox.tokens import Mint
from tests.contract.sandbox import asking
from tests.contract.sandbox.conftest import Sandbox
from worker_bot import rest as seam
from worker_bot import uploads
from worker_bot.requests import RequestGuard

ROOT = Path(__file__).resolve().parents[3]
CALLBACK = "/interactions/"
FEW = 6
"""Refused requests that a limit may cost one worker: a call's tries and what was under way."""


@dataclass
class Place:
    """A sandbox that notes when it is asked for what, with a bot and its channels."""

    sandbox: Sandbox = field(init=False)
    token: str = field(init=False)
    channels: list[int] = field(init=False)
    asked: list[list[Any]] = field(default_factory=list)
    """Of each request when it came, its path, and its status as soon as it has one."""

    nonsense: str | None = None
    """What Retry-After says in a 429 to each message."""

    far: int | None = None
    """A channel whose renames have none left for a minute."""

    def times(self, path: str, status: int | None = None) -> list[float]:
        """When requests of a path came, by their status if one is given."""
        return [at for at, where, got in self.asked if path in where and status in {None, got}]

    async def strike(self, kind: str, **fault: Any) -> None:
        status, answer = await self.sandbox.call("POST", "/sandbox/faults", {"kind": kind, **fault})
        assert status == 201, answer

    async def heal_after(self, path: str, count: int) -> None:
        """Take all faults away as soon as a path was refused so often."""
        async with asyncio.timeout(30):
            while len(self.times(path)) < count:  # noqa: ASYNC110 - the sandbox tells nobody
                await asyncio.sleep(0.005)
        await self.sandbox.control("DELETE", "/faults")

    async def far_limit(self, channel: int) -> None:
        """Let no rename of a channel be left for a minute, as its answers say."""
        self.far = channel
        await self.strike("rest_latency", ms=300, route="PATCH /channels/")

    async def invalid(self) -> int:
        items = (await self.sandbox.control("GET", "/addresses"))["items"]
        return sum(item["invalid_requests"] for item in items)

    async def messages(self) -> list[dict[str, Any]]:
        _, found = await self.sandbox.rest("GET", f"/channels/{self.channels[0]}/messages", self.token)
        return list(found)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    here = Place()

    @web.middleware
    async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
        noted: list[Any] = [time.monotonic(), request.path, None]
        here.asked.append(noted)
        response: web.StreamResponse
        if here.nonsense is not None and "/messages" in request.path:
            response = web.json_response({"retry_after": here.nonsense}, status=429)
            response.headers["Retry-After"] = here.nonsense
        else:
            response = await handler(request)
        if request.method == "PATCH" and request.path.endswith(f"/{here.far}"):
            spent = {"Remaining": "0", "Limit": "1", "Reset": f"{time.time() + 60:.3f}", "Reset-After": "60"}
            response.headers.update({f"X-RateLimit-{name}": value for name, value in spent.items()})
        noted[2] = response.status
        return response

    discord = LocalDiscord(Mint(b"a secret of the tests"), time.time, Rules(identify_interval_s=0))
    async with serve(discord, "127.0.0.1", 0, [noting]) as url, aiohttp.ClientSession() as http:
        sandbox = Sandbox(url, http, discord)
        application_id, token = await sandbox.application()
        home = await sandbox.control("GET", f"/applications/{application_id}")
        channels = [int(home["channel_id"])]
        for number in range(4):
            body = {"name": f"channel-{number}", "type": 0}
            status, made = await sandbox.rest("POST", f"/guilds/{home['guild_id']}/channels", token, body)
            assert status == 201, made
            channels.append(int(made["id"]))
        here.asked.clear()
        here.sandbox, here.token, here.channels = sandbox, token, channels
        yield here


Run = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
async def ours(place: Place) -> AsyncIterator[Run]:
    """Runs a scenario with hikari as it is in a worker."""
    guard = RequestGuard()
    guard.starting = False
    seam.install(guard)

    async def run(name: str, *channels: int) -> Any:
        return await asking.run(name, place.sandbox.url, place.token, *(channels or place.channels[:1]))

    yield run
    seam.install(None)


@pytest.fixture
def plain(place: Place) -> Run:
    """Runs a scenario with hikari as it is, in a process of its own."""

    async def run(name: str, *channels: int) -> Any:
        arguments = [name, place.sandbox.url, place.token, *map(str, channels or place.channels[:1])]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", asking.__name__, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return json.loads(out)

    return run


def waited(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


# Limits --------------------------------------------------------------------------------------------------------------


async def test_plain_hikari_asks_hundreds_of_times_within_a_global_limit(place: Place, plain: Run) -> None:
    await place.strike("rest_429", scope="global", retry_after_s=60, route=f"* {CALLBACK}")
    asking_on = asyncio.create_task(plain("answer"))
    await place.heal_after(CALLBACK, 200)
    times = place.times(CALLBACK)
    assert max(waited(times)) < 60
    assert times[-1] - times[0] < 60
    await asking_on


async def test_answer_to_an_interaction_waits_out_a_global_limit_and_is_given_up_when_it_is_void(
    place: Place, ours: Run
) -> None:
    await place.strike("rest_429", scope="global", retry_after_s=1, route=f"* {CALLBACK}")
    came = await ours("answer")
    assert came["outcome"] == "RateLimitedError"
    assert came["hikaris"]
    assert "longer than this call can wait" in came["error"]
    assert came["took_s"] < 3.5
    assert await place.invalid() <= 3
    assert min(waited(place.times(CALLBACK))) >= 1


async def test_answer_to_an_interaction_is_given_after_a_global_limit(place: Place, ours: Run) -> None:
    await place.strike("rest_429", scope="global", retry_after_s=0.6, route=f"* {CALLBACK}")
    came, _ = await asyncio.gather(ours("answer"), place.heal_after(CALLBACK, 1))
    assert came["outcome"] == "NotFoundError"  # the sandbox knows no such interaction: it was asked
    assert len(place.times(CALLBACK, 429)) == 1
    assert min(waited(place.times(CALLBACK))) >= 0.6


@pytest.mark.parametrize("bucket", [True, False], ids=["with a bucket", "without"])
@pytest.mark.parametrize("retry_after_s", [0.05, 0.5])
async def test_whole_load_of_answers_costs_a_handful_of_refusals(
    place: Place, ours: Run, retry_after_s: float, bucket: bool
) -> None:
    await place.strike(
        "rest_429", scope="global", bucket=bucket, retry_after_s=retry_after_s, route=f"* {CALLBACK}", for_s=30
    )
    came = await ours("answers")
    assert came["outcomes"] == ["RateLimitedError"]
    assert came["took_s"] < 3.5
    assert await place.invalid() <= 2 * FEW


async def test_answers_go_on_together_once_a_limit_is_over(place: Place, ours: Run) -> None:
    await place.strike("rest_429", scope="global", retry_after_s=0.5, route=f"* {CALLBACK}")
    came, _ = await asyncio.gather(ours("answers"), place.heal_after(CALLBACK, 1))
    assert came["outcomes"] == ["NotFoundError"]
    assert await place.invalid() <= FEW
    assert came["took_s"] < 2


LIMITS = {
    "global": {"kind": "rest_429", "scope": "global"},
    "global with a bucket": {"kind": "rest_429", "scope": "global", "bucket": True},
    "of a user": {"kind": "rest_429", "scope": "user"},
    "of a user without a bucket": {"kind": "rest_429", "scope": "user", "bucket": False},
    "shared": {"kind": "rest_429", "scope": "shared"},
    "of Cloudflare": {"kind": "rest_edge_429"},
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
async def test_no_request_is_sent_again_before_its_retry_after_is_over(
    place: Place, ours: Run, limit: dict[str, Any]
) -> None:
    await place.strike(**limit, retry_after_s=1, route="POST /channels/")
    came, _ = await asyncio.gather(ours("send"), place.heal_after("/messages", 1))
    assert came["outcome"] == "done", came
    times = place.times("/messages")
    assert len(times) == 2
    assert min(waited(times)) >= 1


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(LIMITS["global"], marks=pytest.mark.nightly),
        LIMITS["shared"],
        pytest.param(LIMITS["of Cloudflare"], marks=pytest.mark.nightly),
    ],
    ids=["global", "shared", "of Cloudflare"],
)
async def test_limit_that_does_not_end_is_given_up_after_a_few_tries(
    place: Place, ours: Run, limit: dict[str, Any]
) -> None:
    await place.strike(**limit, retry_after_s=0.1, route="POST /channels/")
    came = await ours("send", *place.channels)
    assert came["outcome"] == "RateLimitedError"
    assert len(place.times("/messages")) <= FEW * len(place.channels)
    assert await place.invalid() <= FEW * len(place.channels)


async def test_limit_that_is_longer_than_a_bot_waits_is_told_at_once(place: Place, ours: Run) -> None:
    await place.strike("rest_edge_429", retry_after_s=3600)
    came = await ours("send")
    assert (came["outcome"], came["took_s"] < 2) == ("RateLimitedError", True)
    for _ in range(5):
        await ours("send")
    assert len(place.times("/messages")) == 1


async def test_plain_hikari_asks_again_before_a_users_limit_is_over(place: Place, plain: Run) -> None:
    await place.strike("rest_429", scope="user", retry_after_s=3, route="POST /channels/")
    await asyncio.gather(plain("send"), place.heal_after("/messages", 2))
    assert min(waited(place.times("/messages"))) < 3


# Lost answers, and what is sent again --------------------------------------------------------------------------------

LOST = {"cut": {"kind": "rest_truncated"}, "stalled": {"kind": "rest_truncated", "stall": True}}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
async def test_plain_hikari_tells_of_a_lost_answer_by_no_error_of_its_own(
    place: Place, plain: Run, lost: dict[str, Any]
) -> None:
    await place.strike(**lost, route="GET /channels/")
    came = await plain("read")
    assert came["outcome"] in {"ClientPayloadError", "TimeoutError"}
    assert not came["hikaris"]
    assert len(place.times("/channels/")) == 1


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
@pytest.mark.parametrize("scenario", ["read", "send_known"])
async def test_lost_answer_is_asked_for_again_where_that_does_no_harm(
    place: Place, ours: Run, lost: dict[str, Any], scenario: str
) -> None:
    await place.strike(**lost, route="* /channels/")
    came, _ = await asyncio.gather(ours(scenario), place.heal_after("/channels/", 1))
    assert came["outcome"] == "done", came
    await place.sandbox.control("DELETE", "/faults")
    assert len(await place.messages()) == (scenario == "send_known")


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
@pytest.mark.parametrize(("scenario", "asked"), [("send", 1), ("read", seam.LOST_MAX + 1)])
async def test_answer_that_stays_lost_is_one_of_hikaris_errors_and_nothing_is_sent_twice(
    place: Place, ours: Run, lost: dict[str, Any], scenario: str, asked: int
) -> None:
    await place.strike(**lost, route="* /channels/")
    came = await ours(scenario)
    assert (came["outcome"], came["hikaris"]) == ("AnswerLostError", True)
    assert "look before you send it again" in came["error"]
    await place.sandbox.control("DELETE", "/faults")
    assert len(place.times("/channels/")) == asked
    assert len(await place.messages()) == (scenario == "send")


async def test_plain_hikari_sends_an_empty_file_after_a_server_error(place: Place, plain: Run) -> None:
    await place.strike("rest_error", status=502, route="POST /channels/")
    came, _ = await asyncio.gather(plain("upload"), place.heal_after("/messages", 1))
    assert came["outcome"] == "done"
    assert [each["size"] for each in (await place.messages())[0]["attachments"]] == [0]


async def test_file_is_whole_after_a_server_error(place: Place, ours: Run) -> None:
    await place.strike("rest_error", status=502, route="POST /channels/")
    came, _ = await asyncio.gather(ours("upload"), place.heal_after("/messages", 1))
    assert came["outcome"] == "done"
    assert [each["size"] for each in (await place.messages())[0]["attachments"]] == [50_000]


async def test_file_that_cannot_be_read_again_is_told_of_and_never_sent_empty(
    place: Place, ours: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "KEPT_BYTES", 10_000)
    await place.strike("rest_error", status=502, route="POST /channels/")
    came, _ = await asyncio.gather(ours("upload"), place.heal_after("/messages", 1))
    assert (came["outcome"], came["hikaris"]) == ("UploadSpentError", True)
    assert "Give hikari its bytes or its path" in came["error"]
    assert await place.messages() == []


# Many at once --------------------------------------------------------------------------------------------------------


async def test_plain_hikari_lets_new_channels_wait_for_the_limit_of_the_first(place: Place, plain: Run) -> None:
    await place.strike("rest_latency", ms=400, route="POST /channels/")
    came = await plain("send", *place.channels)
    assert came["took_s"] >= 0.4 * len(place.channels)


async def test_new_channels_wait_for_no_limit_but_their_own(place: Place, ours: Run) -> None:
    await place.strike("rest_latency", ms=400, route="POST /channels/")
    await ours("send", *place.channels)
    times = place.times("/messages")
    assert times[-1] - times[0] < 0.4, "all were under way at once"


@pytest.mark.nightly
async def test_plain_hikari_refuses_a_channel_for_the_limit_of_another(place: Place, plain: Run) -> None:
    await place.far_limit(place.channels[0])
    came = await plain("rename", *place.channels)
    assert [each["outcome"] for each in came[1:]] != ["done"] * 4


async def test_no_channel_is_refused_for_the_limit_of_another(place: Place, ours: Run) -> None:
    await place.far_limit(place.channels[0])
    came = await ours("rename", *place.channels)
    assert [each["outcome"] for each in came[1:]] == ["done"] * 4


async def test_headers_of_a_bucket_where_hikari_expects_none_limit_nobody(place: Place, ours: Run) -> None:
    await place.strike("rest_429", scope="user", retry_after_s=0.2, bucket=True, route=f"* {CALLBACK}")
    await asyncio.gather(ours("answer"), place.heal_after(CALLBACK, 1))
    await place.strike("rest_latency", ms=200, route=f"* {CALLBACK}")
    came = await ours("answers")
    assert came["outcomes"] == ["NotFoundError"]
    assert came["took_s"] < 5, "one after another they would take 10 s"


async def test_what_waits_is_bounded_and_told(place: Place, ours: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "CALL_MAX_S", 1.0)
    came = await ours("send", *place.channels[:1] * 12)  # the sandbox allows 5 in 5 s
    assert came["outcome"] == "AnswerLostError"
    assert "longer than 1 s" in came["error"]
    assert came["took_s"] < 4


@pytest.mark.parametrize(
    "nonsense", ["nan", *(pytest.param(each, marks=pytest.mark.nightly) for each in ("-1", "soon"))]
)
async def test_retry_after_that_is_nonsense_is_waited_out_with_patience(place: Place, ours: Run, nonsense: str) -> None:
    place.nonsense = nonsense
    came = await ours("send")
    assert came["outcome"] == "RateLimitedError"
    assert len(place.times("/messages")) <= FEW
