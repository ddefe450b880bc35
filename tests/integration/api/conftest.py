"""The real application on a real SQLite database; only Valkey is replaced, by recorders."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from quart.wrappers import Response

from api.app import create_app
from api.services import Services, services_on
from flotilla.db.engine import Database
from flotilla.db.keys import Role
from flotilla.db.schema import upgrade
from flotilla.nudges import MemoryNudges
from flotilla.secrets import TokenVault, ensure_key_file
from tests.builders import token_of
from tests.fakes.metrics import MemoryMetrics

JSON = dict[str, Any]


class CountingNudges(MemoryNudges):
    """Counts the taps."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    async def send(self) -> None:
        self.sent += 1
        await super().send()


@dataclass
class RecordingQueue:
    """`JobQueue` that remembers. away: answer pings as a Valkey that is gone."""

    enqueued: list[str] = field(default_factory=list)
    away: bool = False

    async def advance(self, operation_id: str) -> None:
        self.enqueued.append(operation_id)

    async def ping(self) -> None:
        if self.away:
            raise redis.ConnectionError


@dataclass
class Api:
    """A client of the application with a key of each role."""

    services: Services
    nudges: CountingNudges
    queue: RecordingQueue
    keys: dict[Role, str]
    metrics: MemoryMetrics

    def __post_init__(self) -> None:
        self.app = create_app(self.services)
        self.client = self.app.test_client()

    async def call(
        self, method: str, path: str, body: Any = None, *, role: Role | None = Role.ADMIN, **headers: str
    ) -> Response:
        """Send a request with the key of `role`; a body that is bytes goes as it is. headers: If_Match is If-Match."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        options: JSON = {}
        if body is not None:
            options = {"data": body} if isinstance(body, bytes) else {"json": body}
        return await self.client.open(path, method=method, headers=headers, **options)

    async def get(self, path: str) -> JSON:
        """Return the answer to a GET that must succeed."""
        response = await self.call("GET", path)
        assert response.status_code == 200, await response.get_data(as_text=True)
        answer: JSON = await response.get_json()
        return answer

    async def add_bot(self, number: int = 1, **changes: Any) -> JSON:
        """Add a bot and return it."""
        body = {"name": f"bot-{number:04d}", "token": token_of(number), **changes}
        response = await self.call("POST", "/api/v1/bots", body)
        assert response.status_code == 201, await response.get_data(as_text=True)
        answer: JSON = await response.get_json()
        return answer

    async def problem(self, response: Response, status: int, code: str) -> JSON:
        """Return the problem that `response` must be."""
        text = await response.get_data(as_text=True)
        assert (response.status_code, response.content_type) == (status, "application/problem+json"), text
        problem: JSON = await response.get_json(force=True)
        assert problem["code"] == code
        assert problem["status"] == status
        assert problem["type"] == f"urn:flotilla:problem:{code}"
        assert problem["request_id"] == response.headers["X-Request-Id"]
        assert problem["title"]
        assert problem["detail"]
        return problem


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'flotilla.db'}")
    await upgrade(database)
    yield database
    await database.close()


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> Api:
    return await made_api(database, tmp_path)


async def made_api(database: Database, tmp_path: Path) -> Api:
    ensure_key_file(tmp_path / "secrets.key")
    nudges, queue = CountingNudges(), RecordingQueue()
    metrics = MemoryMetrics()
    services = services_on(database, TokenVault(tmp_path / "secrets.key"), nudges, queue, metrics=metrics)
    keys = {role: await services.keys.create(f"{role}-key", role) for role in Role}
    return Api(services, nudges, queue, keys, metrics)
