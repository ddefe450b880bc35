"""Requests that the stop's grace was too short for: they end before what they work with is closed.

uvicorn cancels what it has started itself, and that only waits: Quart handles a request in a task of its own, which
would run on while the services close.
"""

import asyncio

import structlog
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection

CANCEL_S = 1.0
"""Seconds in which a request must have heard that it is cancelled; the program does not wait for one that does not."""
log = structlog.get_logger()


def install_end_of_requests(app: Quart) -> None:
    """Cancel the requests of `app` that are under way when its server has stopped, and wait for their end."""
    under_way: set[asyncio.Task[None] | None] = set()

    class Connection(ASGIHTTPConnection):
        async def handle_request(self, request: Request, send: object) -> None:
            task = asyncio.current_task()
            under_way.add(task)
            try:
                await super().handle_request(request, send)  # type: ignore[arg-type] # as Quart passes it
            finally:
                under_way.discard(task)

    async def end() -> None:
        tasks = {task for task in under_way if task is not None}
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        _, left = await asyncio.wait(tasks, timeout=CANCEL_S)
        log.warning("api.requests_cancelled", requests=len(tasks), still_running=len(left))

    app.asgi_http_class = Connection
    app.after_serving(end)
