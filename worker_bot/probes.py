"""What a worker finds out about itself, as it tells its supervisor."""

import time
from typing import Any

import hikari

from flotilla.protocol import Probed, WorkerLimits
from worker_bot import responses
from worker_bot.command_logs import CommandLogs
from worker_bot.delivery import DeliveryProbe, Renewable
from worker_bot.guard import InteractionGuard
from worker_bot.happenings import Happenings
from worker_bot.metrics import Metrics
from worker_bot.responses import Responses

REPORT_S = 5.0
"""Seconds between two reports in which nothing but figures has changed."""


class Probes:
    """Delivery and response of one bot. Made inside a running event loop."""

    def __init__(
        self,
        bot: Renewable,
        guard: InteractionGuard | None = None,
        command_logs: CommandLogs | None = None,
        metrics: Metrics | None = None,
        happenings: Happenings | None = None,
    ) -> None:
        self._metrics = metrics
        self._happenings = happenings
        self._guard = guard
        self._command_logs = command_logs
        self._delivery = DeliveryProbe(bot)
        self._responses = Responses()
        self._told: tuple[str | None, str] = (None, "")
        self._told_at = float("-inf")
        responses.install(self._responses)

    def see(self, name: str, shard: hikari.api.GatewayShard, payload: Any) -> bool:  # noqa: ANN401 - as Discord sent it
        """Take note of an event; return whether the bot's code should get it. Never raises."""
        self._delivery.see(name, shard, payload)
        if self._metrics is not None:
            self._metrics.event(name)
        if self._happenings is not None:
            self._happenings.see(name, shard, payload)
        if name == "INTERACTION_CREATE" and isinstance(payload, dict) and str(payload.get("id", "")).isdecimal():
            self._responses.arrived(int(payload["id"]), time.monotonic())
            if self._command_logs is not None:
                self._command_logs.arrived(payload)
            return self._guard is None or self._guard.see(shard, payload)
        return True

    def look(self, limits: WorkerLimits) -> Probed | None:
        """Do what is due, and return what the supervisor should know, if it is time. Call it with each heartbeat."""
        if self._guard is not None:
            self._guard.beat(limits.heartbeat_s)
        if self._command_logs is not None:
            self._command_logs.tell()
        if self._happenings is not None:
            self._happenings.beat()
        now = time.monotonic()
        self._delivery.tick(now, limits)
        worst = self._delivery.worst()
        found = (None, "") if worst is None else (worst.state, worst.rung)
        if found == self._told and now - self._told_at < REPORT_S:
            return None
        self._told, self._told_at = found, now
        count, p95_ms = self._responses.summary(now)
        if worst is None:
            return Probed(None, "", 0.0, count, p95_ms)
        return Probed(worst.state, worst.rung, round(worst.quiet_s, 1), count, p95_ms)
