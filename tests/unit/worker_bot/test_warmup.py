"""Before the first fork a worker's life is lived, again and again, and nothing of it is left but what it taught."""

import subprocess
import sys
from types import CodeType

from worker_bot import code

LIVED = """
import asyncio, logging, signal, sys, threading
from pathlib import Path
from hikari.internal import routes
from worker_bot import asking, callbacks, code, responses, rest, seam, warmup

logging.basicConfig(level="WARNING")
signal.signal(signal.SIGINT, signal.SIG_IGN)
before = signal.getsignal(signal.SIGTERM)
packed, pack = [], code.pack
code.pack = lambda codes: packed.append(pack(codes))
lives, live = [], warmup.run_worker

async def counted(*arguments, **named):
    lives.append(await live(*arguments, **named))

warmup.run_worker = counted
known = {name: route.has_ratelimits for name, route in vars(routes).items() if isinstance(route, routes.Route)}
warmup.warm_up()
assert known == {name: getattr(routes, name).has_ratelimits for name in known}, "a limit was learnt of a stub"
assert lives == [0] * (1 + (0 if sys.gettrace() else warmup.LIVES)), lives
assert packed[0] > 1000, packed
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
assert signal.getsignal(signal.SIGTERM) is before
assert threading.active_count() == len(list(Path("/proc/self/task").iterdir())) == 1
assert not [each for each in (asking, responses, rest, seam) if each._current]
assert not logging.getLogger().handlers[0].stream.closed
print("lived")
"""

FAILED = """
from worker_bot import warmup

async def failing(*_):
    raise OSError("no sockets today")

warmup.StubDiscord.start = failing
warmup.warm_up()
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)


def test_lives_are_lived_to_their_end_and_leave_nothing_behind() -> None:
    ran = run(LIVED)
    assert (ran.stdout, ran.stderr) == ("lived\n", "")


def test_a_warm_up_that_fails_costs_only_speed() -> None:
    assert "no sockets today" in run(FAILED).stderr


PREPARED = """
import asyncio
from worker_bot import clients, prepared
from worker_bot.profiles import profile_of
from flotilla.domain.config import BotConfig, BUILT_IN, Cache

TOKEN = "MTAwMDAwMDAwMDAwMDAwMDAx.warmup.xxxxxxxxxxxxxxxxxxxxxxxxxxx"
usual, every = profile_of(BotConfig()), tuple(BUILT_IN.values())

async def take(profile, extensions):
    clients.watch(lambda _: None)
    return prepared.bot_of(TOKEN, "http://discord.test/api/v10", profile, extensions)

for profile, extensions, suits in (
    (profile_of(BotConfig(cache=Cache.FULL)), every, False),
    (usual, every[:2], False),
    (usual, (*every, "mine"), True),
):
    prepared.prepare((*every, "mine"))
    made = asyncio.run(take(profile, extensions))
    assert made.extensions == (frozenset(every) if suits else frozenset()), made
    assert made.profile == profile
    assert clients.made() == (made.client,)
    assert made.client.app is made.app
    assert made.app._token == TOKEN and made.app._rest._token == f"Bot {TOKEN}", "no token"
    assert made.app._rest._rest_url == "http://discord.test/api/v10"
    assert asyncio.run(take(profile, extensions)) is not made
prepared.profile_of = None
prepared.prepare(every)
assert not asyncio.run(take(usual, every)).extensions
print("prepared")
"""


def test_bot_is_made_before_the_fork_for_those_whom_it_suits() -> None:
    ran = run(PREPARED)
    assert ran.stdout == "prepared\n"
    assert "each worker makes its own" in ran.stderr


def double(number: int) -> int:
    return number * 2


def untouched(number: int) -> int:
    return number


def test_code_that_ran_is_packed_and_does_the_same() -> None:
    with code.seen() as seen:
        assert double(4) == 8
    before, other = double.__code__, untouched.__code__
    assert seen[id(before)] is before
    only: dict[int, CodeType] = {id(before): before}
    assert code.pack(only) == 1
    assert double.__code__ is not before
    assert double.__code__ == before
    assert untouched.__code__ is other
    assert double(5) == 10


class Owner:
    def way(self) -> int:
        return 1

    @staticmethod
    def still() -> int:
        return 2

    @classmethod
    def known(cls) -> str:
        return cls.__name__

    @property
    def shown(self) -> int:
        """What is shown."""
        return self._shown

    @shown.setter
    def shown(self, value: int) -> None:
        self._shown = value

    def cold(self) -> int:
        return 5

    also = way


def test_functions_that_ran_are_moved_wherever_a_class_or_a_module_names_them() -> None:
    def used() -> tuple[object, ...]:
        owner = Owner()
        owner.shown = 3
        return owner.way(), owner.also(), Owner.still(), Owner.known(), owner.shown

    with code.seen() as seen:
        before = used()
    way, cold, getter = Owner.way, Owner.cold, Owner.__dict__["shown"].fget
    way.note = "kept"  # type: ignore[attr-defined]
    hot = {number: each for number, each in seen.items() if each.co_qualname.startswith("Owner.")}
    assert code.pack(hot) == 5, "the setter is one of them"
    assert Owner.way is not way
    assert Owner.also is Owner.way, "what was one function is one still"
    assert (Owner.way.__qualname__, Owner.way.__module__, Owner.way.note) == (way.__qualname__, __name__, "kept")  # type: ignore[attr-defined]
    assert Owner.cold is cold
    assert Owner.__dict__["shown"].fget is not getter
    assert Owner.shown.__doc__ == "What is shown."
    assert used() == before == (1, 1, 2, "Owner", 3)
