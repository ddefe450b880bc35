"""Over TLS, as Discord is spoken to: requests share a connection, and closing one neither waits nor leaves anything."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hikari.impl import config
from hikari.impl.shard import _GatewayZlibStreamTransport
from hikari.internal import net

from flotilla.domain.config import BotConfig
from worker_bot import prepared
from worker_bot.profiles import profile_of
from worker_bot.seam import KEEPS_SESSION
from worker_bot.stubs import DRY_TOKEN


class Server:
    """Answers requests and takes websockets. peers: from where requests came. closed: the close codes that it saw."""

    def __init__(self, folder: Path) -> None:
        self.peers: list[object] = []
        self.closed: list[int | None] = []
        self._certificate, self._key = folder / "certificate.pem", folder / "key.pem"
        self._certify()

    async def start(self) -> str:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self._certificate, self._key)
        application = web.Application()
        application.add_routes([web.get("/request", self._request), web.get("/gateway", self._gateway)])
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        return f"localhost:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._certificate))

    async def _request(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.peers.append(request.transport.get_extra_info("peername"))
        return web.json_response({})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        self.closed.append(socket.close_code)
        return socket

    def _certify(self) -> None:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        how = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self._certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self._key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *how))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path)
    yield made
    await made.stop()


async def test_requests_of_a_bot_that_flotilla_makes_share_a_connection(server: Server) -> None:
    address = await server.start()
    made = prepared.bot_of(DRY_TOKEN, "", profile_of(BotConfig()), ())
    settings = made.app._rest._http_settings
    assert settings.force_close_transports is False
    settings = config.HTTPSettings(ssl=server.trusted(), force_close_transports=settings.force_close_transports)
    session = net.create_client_session(
        connector=net.create_tcp_connector(settings),
        connector_owner=True,
        http_settings=settings,
        raise_for_status=False,
        trust_env=False,
    )
    for _ in range(3):
        async with session.get(f"https://{address}/request") as answer:
            await answer.read()
    await session.close()
    assert len(server.peers) == 3
    assert len(set(server.peers)) == 1


async def test_gateway_connection_is_closed_at_once_and_whole(server: Server, recwarn: pytest.WarningsRecorder) -> None:
    address = await server.start()
    transport = await _GatewayZlibStreamTransport.connect(
        http_settings=config.HTTPSettings(ssl=server.trusted()),
        proxy_settings=config.ProxySettings(),
        logger=logging.getLogger("tests"),
        url=f"wss://{address}/gateway",
        log_filterer=lambda payload: payload,
        dumps=lambda _: b"",
        loads=lambda _: {},
        compression=None,
    )
    before = asyncio.all_tasks()
    async with asyncio.timeout(0.2):
        await transport.send_close(code=KEEPS_SESSION, message=b"reconnecting")
    await transport.send_close(code=KEEPS_SESSION, message=b"twice is once")
    assert server.closed == [KEEPS_SESSION]
    assert asyncio.all_tasks() <= before
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
