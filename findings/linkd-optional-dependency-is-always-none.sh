#!/usr/bin/env bash
# Package: linkd 0.6.5 (the dependency injection of hikari-lightbulb 3.2), Python 3.11 or newer.
#
# Guess: `session: Session | None` gets a Session when one is registered, and None when none is. That is what `If` is
# said to do, and what happens with a singleton. A factory of lifetime PROTOTYPE should differ only in being called
# anew for each use.
#
# What happens: with PROTOTYPE the factory is called, its result is thrown away, and the parameter is None. Written as
# `Session` it works. With a second choice, `Session | Fallback`, the same: the fallback is given although the first
# choice was made, and without a registered fallback the call fails with "no dependencies can satisfy". Each time an
# object is made that nobody holds, and a PROTOTYPE has no teardown to close it.
#
# Output seen:
#   linkd 0.6.5
#   singleton  | None     -> Clock      (factory of Session called: no)
#   prototype             -> Session    (factory of Session called: yes)
#   prototype  | None     -> None       (factory of Session called: yes)
#   prototype  | Fallback -> Fallback   (factory of Session called: yes)
#   prototype  | Unknown  -> DependencyNotSatisfiableException (factory of Session called: yes)
#
# Why it matters: a command that takes `db: Session | None`, "use the database if this bot has one", runs without one in
# every bot, raises nothing, and opens a connection per call that is never used.
#
# Do instead: ask for a PROTOTYPE by its bare type, never in a union. What is optional gets a singleton that makes
# sessions (a factory object), or a null object that is always registered.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check linkd==0.6.5

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata

import linkd
from linkd.graph import Lifetime


class Clock: ...


class Session:
    made = 0

    def __init__(self) -> None:
        Session.made += 1


class Fallback: ...


class Unknown: ...


@linkd.inject
async def singleton_or_none(value: Clock | None) -> object:
    return value


@linkd.inject
async def bare(value: Session) -> object:
    return value


@linkd.inject
async def prototype_or_none(value: Session | None) -> object:
    return value


@linkd.inject
async def prototype_or_fallback(value: Session | Fallback) -> object:
    return value


@linkd.inject
async def prototype_or_unknown(value: Session | Unknown) -> object:
    return value


async def told(function) -> tuple[str, bool]:
    before = Session.made
    try:
        value = await function()
        name = "None" if value is None else type(value).__name__
    except linkd.DependencyNotSatisfiableException as error:
        name = type(error).__name__
    return name, Session.made > before


async def main() -> None:
    print("linkd", importlib.metadata.version("linkd"))
    manager = linkd.DependencyInjectionManager()
    registry = manager.registry_for(linkd.Contexts.ROOT)
    registry.register_factory(Clock, Clock)
    registry.register_factory(Session, Session, lifetime=Lifetime.PROTOTYPE)
    registry.register_factory(Fallback, Fallback)
    async with manager.enter_context(linkd.Contexts.ROOT):
        seen = [
            await told(each)
            for each in (singleton_or_none, bare, prototype_or_none, prototype_or_fallback, prototype_or_unknown)
        ]
    labels = "singleton  | None    ", "prototype            ", "prototype  | None    ", "prototype  | Fallback"
    for label, (name, made) in zip((*labels, "prototype  | Unknown "), seen, strict=True):
        print(f"{label} -> {name:10} (factory of Session called: {'yes' if made else 'no'})")
    expected = [
        ("Clock", False),
        ("Session", True),
        ("None", True),
        ("Fallback", True),
        ("DependencyNotSatisfiableException", True),
    ]
    if seen != expected:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
