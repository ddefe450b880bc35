"""The command line in this process, against a real HTTP server that answers as the API does."""

import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from api.config_schemas import BotConfigView, ConfigChanged, ConfigHistory, Refused
from api.diagnosis_schemas import Limits
from flotilla.cli import main
from flotilla.db.configs import Changed
from flotilla.domain.config import BotConfig
from flotilla.domain.config_changes import changed
from flotilla.domain.config_checks import checked
from flotilla.domain.config_record import Version
from flotilla.domain.policy import Policy, knobs_of, parse_overrides
from flotilla.domain.vitals import Vitals
from flotilla.errors import FixInputError
from flotilla.settings import Settings
from tests.builders import T0

Json = dict[str, Any]
KEY = "flt_" + "t" * 43


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and no setting from outside."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FLOTILLA_{name.upper()}", raising=False)
    folder = tmp_path / "h"
    monkeypatch.setenv("FLOTILLA_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """`flotilla up` sets the process's umask; the tests' own process gets its back."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `flotilla ARGUMENTS`."""

    def run(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["flotilla", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return run


@dataclass
class FakeFleet:
    """The API's state: bots whose every step to what is wanted takes `delay` looks, operations that fail on request."""

    url: str = ""
    bots: dict[str, Json] = field(default_factory=dict)
    operations: dict[str, Json] = field(default_factory=dict)
    items: list[Json] = field(default_factory=list)
    stock: dict[str, Json] = field(default_factory=dict)
    readiness: Json = field(
        default_factory=lambda: {
            name: {"ok": True, "detail": "answers"} for name in ("database", "valkey", "supervisor")
        }
    )
    received: list[tuple[str, str, Json]] = field(default_factory=list)
    page_size: int = 200
    fatal_on_start: str | None = None
    short: Json = field(default_factory=dict)
    stuck: bool = False
    looks_until_done: int = 2
    operation_fails: bool = False
    past: Json = field(
        default_factory=lambda: {
            "restarts_24h": 0,
            "failures": 0,
            "heartbeat_at": None,
            "exits": [],
            "happenings": [],
            "vitals": msgspec.to_builtins(Vitals()),
        }
    )
    happenings: list[Json] = field(default_factory=list)
    overrides: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, list[BotConfig]] = field(default_factory=dict)
    refused: Refused | None = None
    stacks: list[Json] = field(default_factory=list)
    rollovers: list[Json] = field(default_factory=list)
    heap: Json = field(default_factory=dict)
    metrics: Json | None = None
    webhooks: dict[str, Json] = field(default_factory=dict)
    delivery: Json = field(default_factory=dict)
    heap_asked: list[Json] = field(default_factory=list)
    secrets: dict[str, Json] = field(default_factory=dict)

    def add(self, name: str, **changes: Any) -> Json:
        bot: Json = {
            "id": f"id-{name}",
            "name": name,
            "application_id": "123456789012345678",
            "tags": [],
            "desired": "running",
            "state": "RUNNING",
            "ready": True,
            "reason": None,
            "reason_code": None,
            "remedy": None,
            "pid": 4711,
            "generation": 1,
            "memory_bytes": 13 * 1024 * 1024,
            "latency_ms": 10.0,
            "uptime_ratio_24h": 1.0,
            "since": "2026-01-01T00:00:00Z",
            "created_at": "2026-01-01T00:00:00Z",
        }
        self.bots[bot["id"]] = bot | changes
        return self.bots[bot["id"]]

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Any]:
        self.received.append((method, path, body))
        for pattern, handler in (
            (r"/readyz", self._readyz),
            (r"/api/v1/status", self._status),
            (r"/api/v1/bots", self._bots),
            (r"/api/v1/bots/([^/]+)", self._bot),
            (r"/api/v1/bots/([^/]+)/uptime", self._uptime),
            (r"/api/v1/bots/([^/]+)/(start|stop|restart)", self._steer),
            (r"/api/v1/bots/([^/]+)/inspection", self._inspection),
            (r"/api/v1/bots/([^/]+)/stacks", self._stacks),
            (r"/api/v1/bots/([^/]+)/heap", self._heap),
            (r"/api/v1/bots/([^/]+)/policy", self._policy),
            (r"/api/v1/bots/([^/]+)/config((?:/.*)?)", self._config),
            (r"/api/v1/bots/([^/]+)/metrics", self._metrics),
            (r"/api/v1/webhooks", self._webhooks),
            (r"/api/v1/webhooks/([^/]+)", self._webhook),
            (r"/api/v1/webhooks/([^/]+)/(test|deliveries)", self._deliveries),
            (r"/api/v1/bots/([^/]+)/stock", self._stock),
            (r"/api/v1/bots/([^/]+)/stock/([^/]+)", self._stock_item),
            (r"/api/v1/bots/([^/]+)/token", self._token),
            (r"/api/v1/bots/([^/]+)/secrets(?:/([^/]+))?", self._secrets),
            (r"/api/v1/bots/([^/]+)/sync-commands", self._bot),
            (r"/api/v1/happenings", self._happenings),
            (r"/api/v1/rollovers", self._rollovers),
            (r"/api/v1/rollovers/([^/]+)", self._rollover),
            (r"/api/v1/operations", self._operations),
            (r"/api/v1/operations/([^/]+)", self._operation),
            (r"/api/v1/operations/([^/]+)/(items|cancel)", self._part),
        ):
            match = re.fullmatch(pattern, path)
            if match:
                return handler(method, query, body, *match.groups())
        return 404, {"title": "Not found", "detail": f"There is nothing at {path}.", "code": "not_found"}

    def _readyz(self, *_: Any) -> tuple[int, Any]:
        return (200 if all(part["ok"] for part in self.readiness.values()) else 503), self.readiness

    def _status(self, *_: Any) -> tuple[int, Any]:
        states = [bot["state"] for bot in self.bots.values()]
        return 200, {
            "bots": {state: states.count(state) for state in states},
            "ready": sum(bot["ready"] for bot in self.bots.values()),
            "total": len(states),
            "desired_running": len(states),
            "supervisors": [{"slot": 0, "pid": 7, "seen_at": "2026-01-01T00:00:00Z"}],
            "version": "9.9",
        }

    def _uptime(self, _method: str, _query: dict[str, str], _body: Json, bot_id: str) -> tuple[int, Any]:
        window = {"ratio": 0.998, "down_s": 172.8, "target": 0.995, "budget_s": 432.0, "budget_left_s": 259.2}
        window |= {"burn_rate_1h": 14.5, "burn_rate_24h": 0.4}
        return 200, {"bot_id": bot_id, "target": 0.995, "windows": dict.fromkeys(("24h", "7d", "30d"), window)}

    def _bots(self, method: str, query: dict[str, str], body: Json) -> tuple[int, Any]:
        if method == "POST":
            if f"id-{body['name']}" in self.bots:
                return 409, {"detail": "There is a bot of that name already.", "code": "name_taken"}
            return 201, self.add(body["name"], tags=body["tags"], desired=body.get("desired", "running"))
        found = [
            bot
            for bot in sorted(self.bots.values(), key=lambda bot: str(bot["name"]))
            if query.get("name") in {None, bot["name"]}
            and query.get("state") in {None, bot["state"]}
            and (query.get("tag") is None or query["tag"] in bot["tags"])
        ]
        start = int(query.get("cursor", "0"))
        end = start + min(self.page_size, int(query["limit"]) if "limit" in query else 50)
        return 200, {"items": found[start:end], "next_cursor": str(end) if end < len(found) else None}

    def _bot(self, method: str, _query: dict[str, str], _body: Json, bot_id: str) -> tuple[int, Any]:
        if bot_id not in self.bots:
            return 404, {"detail": "There is no such bot.", "code": "bot_unknown"}
        bot = self.bots[bot_id]
        if method == "DELETE":
            bot["looks"] = 0 if self.stuck else self.looks_until_done
            bot["removing"] = True
            return 204, None
        if bot.get("looks", 0) > 0:
            bot["looks"] -= 1
            if bot["looks"] == 0:
                if bot.get("removing"):
                    del self.bots[bot_id]
                bot.update(bot.pop("then", {}))
        return 200, bot

    def _token(self, _method: str, _query: dict[str, str], _body: Json, bot_id: str) -> tuple[int, Any]:
        bot = self.bots[bot_id]
        if bot["desired"] == "running":
            bot["looks"] = self.looks_until_done
            bot["then"] = {"state": "RUNNING", "ready": True, "generation": bot["generation"] + 1}
        return 202, bot

    def _secrets(self, method: str, _query: Json, _body: Json, bot_id: str, name: str | None) -> tuple[int, Any]:
        names = self.secrets.setdefault(bot_id, {})
        if method == "PUT":
            names[str(name)] = {"name": name, "changed_at": "2026-01-01T00:00:00Z", "changed_by": "admin"}
        if method == "DELETE":
            del names[str(name)]
            return 204, None
        return 200, {"bot_id": bot_id, "version": len(names), "items": list(names.values())}

    def _inspection(self, _method: str, _query: dict[str, str], _body: Json, bot_id: str) -> tuple[int, Any]:
        return 200, {"bot": self.bots[bot_id], "limits": msgspec.to_builtins(Limits.of(Policy())), **self.past}

    def _stock(self, _method: str, query: dict[str, str], _body: Json, _bot_id: str) -> tuple[int, Any]:
        low = query.get("low") == "true"
        found = [item for item in self.stock.values() if not low or item["quantity"] <= item["low_at"]]
        return 200, {"items": found, "next_cursor": None}

    def _stock_item(self, method: str, _query: dict[str, str], body: Json, _bot_id: str, sku: str) -> tuple[int, Any]:
        if method == "PUT":
            usual = {"category": "", "description": "", "price": "", "low_at": 0, "updated_at": "2026-01-01T00:00:00Z"}
            self.stock[sku] = {"sku": sku, **usual, **body}
        elif sku not in self.stock:
            return 404, {"detail": "This bot has no item with this sku.", "code": "stock_item_unknown"}
        elif method == "DELETE":
            del self.stock[sku]
            return 204, None
        return 200, self.stock[sku]

    def _policy(self, _method: str, _query: dict[str, str], body: Json, bot_id: str) -> tuple[int, Any]:
        try:
            own = parse_overrides(self.overrides.get(bot_id, {}) | body)
        except FixInputError as fault:
            return 422, {"detail": fault.message, "code": fault.code}
        self.overrides[bot_id] = own.given()
        fleet, effective = Policy(), own.on(Policy())
        policies = {"fleet": knobs_of(fleet), "effective": knobs_of(effective)}
        return 200, {"bot_id": bot_id, "own": own.given(), **msgspec.to_builtins(policies)}

    def _config(self, method: str, query: dict[str, str], body: Json, bot_id: str, part: str) -> tuple[int, Any]:
        versions = self.versions.setdefault(bot_id, [BotConfig()])
        before, dry_run = versions[-1], query.get("dry_run") == "true"
        if part == "/history":
            rows = [Version(number, row, T0, "admin") for number, row in enumerate(versions)]
            return 200, msgspec.to_builtins(ConfigHistory.of(rows[::-1]))
        if method == "GET":
            shown = BotConfigView(bot_id, len(versions) - 1, before, 0, 0, self.refused)
            return 200, msgspec.to_builtins(shown)
        try:
            after = versions[body["version"]] if part else checked(changed(before, body))
        except FixInputError as fault:
            return 422, {"detail": fault.message, "code": fault.code}
        if not dry_run and after != before:
            versions.append(after)
        told = ConfigChanged.of(bot_id, Changed(before, after, len(versions) - 1), dry_run=dry_run)
        return 200, msgspec.to_builtins(told)

    def _metrics(self, *_: Any) -> tuple[int, Any]:
        away = {"detail": "Valkey does not answer.", "code": "metrics_unavailable"}
        return (503, away) if self.metrics is None else (200, self.metrics)

    def _webhooks(self, method: str, _query: dict[str, str], body: Json) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"items": list(self.webhooks.values()), "next_cursor": None}
        webhook: Json = {
            "id": f"w{len(self.webhooks)}",
            "enabled": True,
            "why_disabled": None,
            "last_status": None,
            "last_error": None,
            "last_at": None,
            "failures": 0,
            "dropped": 0,
            **body,
        }
        self.webhooks[webhook["id"]] = webhook
        return 201, {"webhook": webhook, "secret": "whsec_shown-once"}

    def _webhook(self, method: str, _query: dict[str, str], body: Json, webhook_id: str) -> tuple[int, Any]:
        if webhook_id not in self.webhooks:
            return 404, {"detail": "There is no webhook with this id.", "code": "webhook_unknown"}
        if method == "DELETE":
            del self.webhooks[webhook_id]
            return 204, None
        self.webhooks[webhook_id].update(body)
        return 200, self.webhooks[webhook_id]

    def _deliveries(self, method: str, *_: Any) -> tuple[int, Any]:
        """A test becomes what `delivery` says."""
        if method == "POST":
            return 202, {"id": self.delivery.get("id", "d1")}
        return 200, {"items": [self.delivery] if self.delivery else [], "next_cursor": None}

    def _happenings(self, _method: str, query: dict[str, str], _body: Json) -> tuple[int, Any]:
        chosen = [
            row
            for row in self.happenings
            if query.get("bot") in {None, row["bot_name"]}
            and query.get("severity") in {None, row["severity"]}
            and query.get("source") in {None, row.get("source")}
            and query.get("code") in {None, row.get("code")}
        ]
        return 200, {"items": chosen, "next_cursor": None}

    def _stacks(self, method: str, _query: dict[str, str], _body: Json, bot_id: str) -> tuple[int, Any]:
        """Answers the second epoch; `stacks` are what looks find, one after the other."""
        if method == "POST":
            return 202, {"bot_id": bot_id, "epoch": 2}
        return 200, self.stacks.pop(0) if len(self.stacks) > 1 else self.stacks[0]

    def _heap(self, method: str, _query: dict[str, str], body: Json, bot_id: str) -> tuple[int, Any]:
        if method == "POST":
            self.heap_asked.append(body)
            return 202, {"bot_id": bot_id, "epoch": 2}
        return 200, self.heap

    def _steer(self, _method: str, _query: dict[str, str], _body: Json, bot_id: str, action: str) -> tuple[int, Any]:
        bot = self.bots[bot_id]
        then: Json = {"state": "RUNNING", "ready": True, "generation": bot["generation"] + (action == "restart")}
        if action == "stop":
            then = {"state": "STOPPED", "ready": False}
        elif self.fatal_on_start == bot["name"]:
            then = {
                "state": "FATAL",
                "ready": False,
                "generation": bot["generation"] + 1,
                "reason": "token refused",
                "remedy": "Copy a new token.",
            }
        self.bots[bot_id] = bot | {"looks": 0 if self.stuck else self.looks_until_done, "then": then}
        return 202, bot

    def _rollovers(self, method: str, _query: dict[str, str], body: Json) -> tuple[int, Any]:
        """One that begins goes through the states of `rollovers`, one at each look."""
        if method == "GET":
            return 200, {"items": self.rollovers, "next_cursor": None}
        if body.get("dry_run"):
            total = len(self.bots)
            waves = [1, total - 1] if total > 1 else [1] * total
            return 200, {
                "total": total,
                "canary": min((bot["name"] for bot in self.bots.values()), default=None),
                "waves": waves,
                "unjudged": 0,
                "in_motion": 1,
                "least_s": 10.0,
                "session_starts": total,
            }
        return 202, self.rollovers[0]

    def _rollover(self, _method: str, _query: dict[str, str], _body: Json, _rollover_id: str) -> tuple[int, Any]:
        return 200, self.rollovers.pop(0) if len(self.rollovers) > 1 else self.rollovers[0]

    def _operations(self, method: str, _query: dict[str, str], body: Json) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"items": list(self.operations.values()), "next_cursor": None}
        tags = body["selector"].get("tags")
        chosen = [bot for bot in self.bots.values() if tags is None or set(tags) & set(bot["tags"])]
        if body.get("dry_run"):
            names = [bot["name"] for bot in chosen]
            skipped = sum(bot["state"] == "STOPPED" for bot in chosen)
            return 200, {
                "total": len(chosen),
                "session_starts": len(chosen) - skipped,
                "skipped": skipped,
                "bots": names,
                **self.short,
            }
        state = "failed" if self.operation_fails else "succeeded"
        self.items = [{"bot_id": bot["id"], "bot_name": bot["name"], "state": state, "detail": "why"} for bot in chosen]
        operation: Json = {
            "id": "op-1",
            "kind": "restart",
            "state": "running",
            "detail": None,
            "total": len(chosen),
            "counts": {"pending": len(chosen)},
            "created_at": "2026-01-01T00:00:00Z",
            "looks": self.looks_until_done,
        }
        self.operations["op-1"] = operation
        return 202, operation

    def _operation(self, _method: str, _query: dict[str, str], _body: Json, operation_id: str) -> tuple[int, Any]:
        if operation_id not in self.operations:
            return 404, {"detail": f"There is no operation {operation_id}.", "code": "operation_unknown"}
        operation = self.operations[operation_id]
        operation["looks"] -= 1
        if operation["looks"] <= 0:
            state = "failed" if self.operation_fails else "succeeded"
            operation.update(state=state, counts={state: operation["total"]})
        return 200, operation

    def _part(self, _method: str, _query: dict[str, str], _body: Json, operation_id: str, part: str) -> tuple[int, Any]:
        if part == "items":
            return 200, {"items": self.items, "next_cursor": None}
        self.operations[operation_id]["state"] = "cancelled"
        return 202, self.operations[operation_id]


def serve(answer: Callable[[str, str, dict[str, str], Json], tuple[int, Any]]) -> ThreadingHTTPServer:
    """Return a server on a free loopback port, running in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if self.headers.get("authorization") not in {f"Bearer {KEY}", None}:
                status, body = 401, {"detail": "Unknown key.", "code": "unauthorized"}
            else:
                status, body = answer(self.command, parts.path, query, json.loads(raw or b"{}"))
            payload = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the library calls them so

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFleet]:
    """An API to talk to, and the settings that lead there."""
    made = FakeFleet()
    server = serve(made.answer)
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("FLOTILLA_URL", made.url)
    monkeypatch.setenv("FLOTILLA_API_KEY", KEY)
    yield made
    server.shutdown()
    server.server_close()
