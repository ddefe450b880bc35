#!/usr/bin/env bash
# Packages: quart 0.22.0 under uvicorn 0.54.0, Python 3.11 or newer.
#
# Guess: `timeout_graceful_shutdown=1` gives requests under way one second at a stop; then uvicorn cancels them: a
# handler gets CancelledError, its `finally` runs, and only after that does `after_serving` close the database. So it is
# with a bare ASGI application.
#
# What happens: uvicorn cancels the task that it started. Quart runs the handler in a task of its own beside it and only
# waits for that one; a cancelled wait does not cancel what it waits for. The client's connection is cut,
# `after_serving` runs, `serve()` returns, and the handler still works, now without a database. It ends when it is done,
# or in the midst of a step when `asyncio.run` cancels what is left. The same for generators of streamed answers.
#
# Output seen:
#   quart 0.22.0, uvicorn 0.54.0
#   bare ASGI: cancelled before the database closed; steps after that 0
#   Quart: not cancelled before the database closed; steps after that 9
#   Quart, mended: cancelled before the database closed; steps after that 0
#
# Why it matters: an API that restarts bots one by one goes on doing so after the program has said that it stopped, with
# what is closed: half a bulk action fails with errors that look like a broken database, or writes where the next
# program already does.
#
# Do instead ("mended" below): keep a set of the tasks of requests under way (`asyncio.current_task()` in
# `before_request`), and before anything is closed cancel and await them; or give long work to a job queue.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check quart==0.22.0 uvicorn==0.54.0

cat >"$folder/try.py" <<'PY'
import asyncio
import contextlib
import functools
import importlib.metadata
import logging
import socket

import uvicorn
from quart import Quart

GRACE_S = 1
STEP_S = 0.2


class Work:
    """A request that takes 20 steps, and what it saw."""

    def __init__(self) -> None:
        self.closed = False
        self.begun = asyncio.Event()
        self.cancelled_in_time = False
        self.steps_after_closing = 0

    async def run(self) -> None:
        self.begun.set()
        try:
            for _ in range(20):
                await asyncio.sleep(STEP_S)
                self.steps_after_closing += self.closed
        except asyncio.CancelledError:
            self.cancelled_in_time = not self.closed
            raise


def bare(work: Work):
    async def app(scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            work.closed = True
            await send({"type": "lifespan.shutdown.complete"})
            return
        await work.run()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return app


def with_quart(work: Work, *, mended: bool = False):
    app = Quart("bots")
    under_way: set[asyncio.Task] = set()

    @app.before_request
    async def note() -> None:
        task = asyncio.current_task()
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    @app.post("/restart-all")
    async def restart_all() -> str:
        await work.run()
        return "done"

    @app.after_serving
    async def close_the_database() -> None:
        if mended:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        work.closed = True

    return app


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


async def stop_during_a_request(make_app) -> Work:
    work = Work()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(work), timeout_graceful_shutdown=GRACE_S, log_config=None, lifespan="on")
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    _, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"POST /restart-all HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    await asyncio.wait_for(work.begun.wait(), 10)
    server.should_exit = True
    await asyncio.wait_for(serving, 10)
    # The program now closes what else it has.
    await asyncio.sleep(8.5 * STEP_S)
    writer.close()
    return work


async def main() -> None:
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("quart", "uvicorn")))
    logging.disable(logging.CRITICAL)
    seen = {}
    for label, make_app in (
        ("bare ASGI", bare),
        ("Quart", with_quart),
        ("Quart, mended", functools.partial(with_quart, mended=True)),
    ):
        work = seen[label] = await stop_during_a_request(make_app)
        when = "cancelled" if work.cancelled_in_time else "not cancelled"
        print(f"{label}: {when} before the database closed; steps after that {work.steps_after_closing}")
    held = (
        seen["bare ASGI"].cancelled_in_time
        and not seen["bare ASGI"].steps_after_closing
        and not seen["Quart"].cancelled_in_time
        and seen["Quart"].steps_after_closing >= 3
        and seen["Quart, mended"].cancelled_in_time
    )
    if not held:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
