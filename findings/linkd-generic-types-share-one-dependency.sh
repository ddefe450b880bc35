#!/usr/bin/env bash
# Package: linkd 0.6.5 (the dependency injection of hikari-lightbulb 3.2), Python 3.11 or newer.
#
# Guess: dependencies are told apart by type, so `Repository[Guild]` and `Repository[Member]` are two; or, if linkd
# looks only at the class, registering the second one is refused or logged.
#
# What happens: a dependency's key is the module and qualified name, and a parametrised type answers with those of its
# origin. All parametrisations are one dependency. The last one registered is given to all, no error, no log line.
# `dict[str, int]` and `dict[int, str]` are one as well, and so are two classes made by one function (a class factory).
#
# Output seen:
#   linkd 0.6.5
#   asked for Repository[Guild], got: members
#   asked for Repository[Member], got: members
#   asked for list[int], got: ['a name']
#   classes made by one function: 'second' and 'second'
#   asked for a named subclass, got: guilds
#
# Why it matters: the generic repository is the usual first pattern for a bot's storage. Code that asks for guilds by
# type, and that a type checker has passed, reads and writes the members' table.
#
# Do instead: one named subclass per use (`class Guilds(Repository[Guild])`) and register that.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check linkd==0.6.5

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata
import logging
import typing

import linkd

Row = typing.TypeVar("Row")


class Guild: ...


class Member: ...


class Repository(typing.Generic[Row]):
    def __init__(self, table: str) -> None:
        self.table = table


class Guilds(Repository[Guild]): ...


def storage(name: str) -> type:
    class Storage:
        table = name

    return Storage


First, Second = storage("first"), storage("second")


@linkd.inject
async def ask(
    guilds: Repository[Guild],
    members: Repository[Member],
    numbers: list[int],
    first: First,
    second: Second,
    named: Guilds,
) -> tuple[str, str, list[object], str, str, str]:
    return guilds.table, members.table, numbers, first.table, second.table, named.table


async def main() -> None:
    print("linkd", importlib.metadata.version("linkd"))
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    manager = linkd.DependencyInjectionManager()
    registry = manager.registry_for(linkd.Contexts.ROOT)
    registry.register_value(Repository[Guild], Repository("guilds"))
    registry.register_value(Repository[Member], Repository("members"))
    registry.register_value(list[int], [1])
    registry.register_value(list[str], ["a name"])
    registry.register_value(First, First())
    registry.register_value(Second, Second())
    registry.register_value(Guilds, Guilds("guilds"))
    async with manager.enter_context(linkd.Contexts.ROOT):
        guilds, members, numbers, first, second, named = await ask()
    print("asked for Repository[Guild], got:", guilds)
    print("asked for Repository[Member], got:", members)
    print("asked for list[int], got:", numbers)
    print(f"classes made by one function: {first!r} and {second!r}")
    print("asked for a named subclass, got:", named)
    seen = guilds, members, numbers, first, second, named, len(records)
    if seen != ("members", "members", ["a name"], "second", "second", "guilds", 0):
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
