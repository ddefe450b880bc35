"""As much of Discord and of a supervisor as one worker's life takes, in the process that lives it."""

import asyncio
import base64
import contextlib
import json
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from flotilla.protocol import (
    AskIdentify,
    CommandsRan,
    CommandsStored,
    FrameDecoder,
    Hello,
    MayIdentify,
    ToWorker,
    Welcome,
    WorkerConfig,
    encode,
    from_worker,
)

READ_BYTES = 64 * 1024
_ID = "100000000000000001"
_MOMENT = "2015-01-01T00:00:00+00:00"
_USER: dict[str, Any] = {
    "id": _ID,
    "username": "warm",
    "discriminator": "0",
    "global_name": None,
    "avatar": None,
    "bot": True,
    "mfa_enabled": False,
    "flags": 0,
}
DRY_TOKEN = ".".join((base64.urlsafe_b64encode(_ID.encode()).decode().rstrip("="), "warmup", "x" * 27))


async def _limit(request: web.Request, response: web.StreamResponse) -> None:
    """Say what Discord says of a rate limit, which it does with every answer but those to a first response."""
    if "/interactions/" in request.path:
        return
    limit = {
        "Limit": "50",
        "Remaining": "49",
        "Reset": f"{time.time() + 1:.3f}",
        "Reset-After": "1.0",
        "Bucket": "warm",
    }
    response.headers.update({f"X-RateLimit-{name}": value for name, value in limit.items()})


class StubDiscord:
    """As much of Discord as one connection, one command sync and one answered interaction take."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self._url = ""
        application = web.Application()
        application.router.add_get("/gateway", self._gateway)
        application.router.add_get("/api/v10/gateway/bot", self._gateway_bot)
        self.serve(application.router)
        application.on_response_prepare.append(_limit)
        self._runner = web.AppRunner(application, access_log=None)

    def serve(self, router: web.UrlDispatcher) -> None:
        """Add what it answers besides the gateway."""
        router.add_post("/api/v10/interactions/{id}/{token}/callback", self._callback)
        router.add_route("*", "/api/v10/applications/{id}/commands", self._commands)
        router.add_get("/api/v10/{rest:.*}", self._application)

    async def start(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"{host}:{port}"
        return f"http://{self._url}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _gateway_bot(self, _request: web.Request) -> web.Response:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return web.json_response({"url": f"ws://{self._url}/gateway", "shards": 1, "session_start_limit": limit})

    async def _application(self, _request: web.Request) -> web.Response:
        facts: dict[str, object] = {"id": _ID, "name": "warm", "description": "", "icon": None, "bot_public": True}
        more = {
            "bot_require_code_grant": False,
            "verify_key": "",
            "owner": _USER,
            "team": None,
            "flags": 0,
            "approximate_guild_count": 0,
        }
        facts |= dict.fromkeys(("approximate_user_install_count", "approximate_user_authorization_count"), 0)
        return web.json_response(facts | more)

    async def _commands(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response([])
        return web.json_response([self._command(wanted) for wanted in await request.json()])

    @staticmethod
    def _command(wanted: dict[str, Any]) -> dict[str, Any]:
        stored = {"id": _ID, "application_id": _ID, "version": _ID, "default_member_permissions": None}
        return {"type": 1, "options": [], "dm_permission": True, "nsfw": False} | wanted | stored

    async def _callback(self, _request: web.Request) -> web.Response:
        self.answered.set()
        return web.json_response({"interaction": {"id": _ID, "type": 2}})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        send = self._sender(socket)
        await send({"op": 10, "d": {"heartbeat_interval": 41250}})
        async for message in socket:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                for answer in self._answers(json.loads(message.data)["op"]):
                    await send(answer)
        return socket

    @staticmethod
    def _sender(socket: web.WebSocketResponse) -> Callable[[dict[str, Any]], Awaitable[None]]:
        deflate = zlib.compressobj()

        async def send(payload: dict[str, Any]) -> None:
            body = deflate.compress(json.dumps(payload).encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
            await socket.send_bytes(body)

        return send

    def _answers(self, operation: int) -> list[dict[str, Any]]:
        if operation == 1:
            return [{"op": 11}]
        if operation != 2:  # noqa: PLR2004 - IDENTIFY
            return []
        resume = f"ws://{self._url}/gateway"
        ready = {"v": 10, "user": _USER, "guilds": [], "session_id": "dry", "resume_gateway_url": resume}
        ready |= {"application": {"id": _ID, "flags": 0}, "shard": [0, 1]}
        return [
            {"op": 0, "t": "READY", "s": 1, "d": ready},
            {"op": 0, "t": "GUILD_CREATE", "s": 2, "d": self._guild()},
            {"op": 0, "t": "INTERACTION_CREATE", "s": 3, "d": self._interaction()},
        ]

    @staticmethod
    def _guild() -> dict[str, Any]:
        member: dict[str, Any] = {
            "user": _USER,
            "nick": None,
            "roles": [_ID],
            "joined_at": _MOMENT,
            "deaf": False,
            "mute": False,
        }
        member |= {"avatar": None, "banner": None, "premium_since": None, "pending": False, "flags": 0}
        member |= {"communication_disabled_until": None}
        colors = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
        role: dict[str, Any] = {
            "id": _ID,
            "name": "@everyone",
            "color": 0,
            "colors": colors,
            "hoist": False,
            "flags": 0,
        }
        role |= {"position": 0, "permissions": "0", "managed": False, "mentionable": False, "icon": None}
        overwrite = {"id": _ID, "type": 0, "allow": "0", "deny": "0"}
        channel: dict[str, Any] = {"id": _ID, "type": 0, "name": "warm", "position": 0, "topic": None, "nsfw": False}
        channel |= {"permission_overwrites": [overwrite], "parent_id": None, "last_message_id": None}
        channel |= {"rate_limit_per_user": 0}
        guild: dict[str, Any] = {"id": _ID, "name": "warm", "owner_id": _ID, "features": [], "unavailable": False}
        guild |= dict.fromkeys(
            ("icon", "splash", "discovery_splash", "banner", "description", "vanity_url_code", "afk_channel_id"), None
        )
        guild |= dict.fromkeys(
            ("application_id", "rules_channel_id", "public_updates_channel_id", "system_channel_id"), None
        )
        guild |= dict.fromkeys(("safety_alerts_channel_id", "widget_channel_id", "max_presences"), None)
        guild |= dict.fromkeys(
            ("verification_level", "default_message_notifications", "explicit_content_filter", "mfa_level"), 0
        )
        guild |= dict.fromkeys(("nsfw_level", "premium_tier", "premium_subscription_count", "system_channel_flags"), 0)
        guild |= dict.fromkeys(("voice_states", "threads", "presences", "emojis", "stickers", "stage_instances"), ())
        guild |= {"roles": [role], "channels": [channel], "members": [member], "member_count": 1, "afk_timeout": 300}
        guild |= {"preferred_locale": "en-US", "max_members": 500_000, "max_video_channel_users": 25, "large": False}
        guild |= {"premium_progress_bar_enabled": False, "joined_at": _MOMENT, "guild_scheduled_events": []}
        return guild

    @staticmethod
    def _interaction() -> dict[str, Any]:
        # A snowflake carries its time in milliseconds since Discord's epoch, 2015-01-01.
        identifier = str((int(time.time() * 1000) - 1_420_070_400_000) << 22)
        return {
            "id": identifier,
            "application_id": _ID,
            "type": 2,
            "token": "dry",
            "version": 1,
            "user": _USER,
            "channel_id": _ID,
            "channel": {"id": _ID, "type": 1},
            "locale": "en-US",
            "app_permissions": "0",
            "authorizing_integration_owners": {"1": _ID},
            "context": 1,
            "attachment_size_limit": 0,
            "entitlements": [],
            "data": {"id": _ID, "name": "ping", "type": 1},
        }


class StubSupervisor:
    """Welcomes every worker that connects to its socket, and lets it have its way."""

    def __init__(self, path: Path, config: WorkerConfig) -> None:
        self._path = path
        self._config = config

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._meet, self._path)

    def stop(self) -> None:
        """Take no more workers."""
        self._server.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder()
        with contextlib.suppress(OSError):
            while received := await reader.read(READ_BYTES):
                for body in decoder.feed(received):
                    answer = self._answer(from_worker.decode(body))
                    if answer is not None:
                        writer.write(encode(answer))
        writer.close()

    def _answer(self, message: object) -> ToWorker | None:
        match message:
            case Hello():
                return Welcome(DRY_TOKEN, self._config)
            case AskIdentify(shard_id, number):
                return MayIdentify(shard_id, number)
            case CommandsRan(number):
                return CommandsStored(number)
            case _:
                return None
