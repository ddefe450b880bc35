#!/usr/bin/env bash
# Package: linkd 0.6.5 (the dependency injection of hikari-lightbulb 3.2), Python 3.11 or newer.
#
# Guess: closing runs the teardown of every dependency that was made, the last one first. When one of them raises, the
# others still run and the error comes out at the end, as with AsyncExitStack. A second `close()` does nothing.
#
# What happens: the first error ends the closing. Teardowns of what was made earlier, usually the things that others
# stand on (the pool of connections, the HTTP session), do not run. The container stays open and hands out what has
# been torn down already; each further `close()` runs the same teardowns again up to the same error, so those that
# worked run twice, and the rest is never reached.
#
# Output seen:
#   linkd 0.6.5
#   made: pool, session, cache
#   first close():  closed cache, session raised OSError; pool still open
#   second close(): closed cache, session raised OSError; pool still open
#   after that a command still gets: cache (closed 2 times)
#
# Why it matters: lightbulb's `client.stop()` closes this way. A log-out that fails because the network is away, at the
# very moment a bot is stopped for that reason, leaves the database pool unclosed: transactions stay open until the
# server notices, buffers are not written.
#
# Do instead: teardowns that never raise (suppress and log inside), or one dependency with an AsyncExitStack that closes
# all others.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check linkd==0.6.5

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata

import linkd


class Part:
    closed = 0

    async def close(self) -> None:
        self.closed += 1
        log.append(f"closed {type(self).__name__.lower()}")


class Pool(Part): ...


class Session(Part):
    def __init__(self, pool: Pool) -> None: ...

    async def close(self) -> None:
        log.append("session raised OSError")
        raise OSError("the network is away")


class Cache(Part):
    def __init__(self, session: Session) -> None: ...


log: list[str] = []


@linkd.inject
async def command(cache: Cache, session: Session, pool: Pool) -> tuple[Cache, Pool]:
    return cache, pool


async def main() -> None:
    print("linkd", importlib.metadata.version("linkd"))
    manager = linkd.DependencyInjectionManager()
    registry = manager.registry_for(linkd.Contexts.ROOT)
    for part in (Pool, Session, Cache):
        registry.register_factory(part, part, teardown=part.close)
    async with manager.enter_context(linkd.Contexts.ROOT):
        cache, pool = await command()
    print("made: pool, session, cache")
    told = []
    for which in ("first close(): ", "second close():"):
        log.clear()
        try:
            await manager.close()
        except OSError:
            pass
        told.append(list(log))
        print(which, ", ".join(log) + ("; pool still open" if not pool.closed else "; pool closed"))
    async with manager.enter_context(linkd.Contexts.ROOT):
        again, _ = await command()
    if again is cache:
        print(f"after that a command still gets: cache (closed {cache.closed} times)")
    if told != [["closed cache", "session raised OSError"]] * 2 or pool.closed or again is not cache:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
