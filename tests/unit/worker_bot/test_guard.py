"""The guard between any code and Discord's rules: one first response, no secret before everybody, nobody left waiting.

Discord is the sandbox's own model of interactions, asked without HTTP. Time is skipped, so 15 minutes are over at once.
"""

import asyncio
import contextlib
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import hikari
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flotilla.discord import EPOCH_MS
from flotilla.protocol import WorkerLimits
from sandbox import acting
from sandbox.errors import DiscordError
from sandbox.interactions import acts
from sandbox.interactions.interactions import Interaction
from sandbox.local_discord import LocalDiscord, Rules
from sandbox.messages.rules import EPHEMERAL, LOADING
from sandbox.tokens import Mint
from tests.unit.sandbox.conftest import FakeSocket
from worker_bot import guard as module
from worker_bot.answering import ORIGINAL, Answer, Call, Exchange, Op
from worker_bot.callbacks import Said
from worker_bot.guard import InteractionGuard, Outcome, TooLateForModalError

BUTTON = {"type": 1, "components": [{"type": 2, "style": 1, "label": "b", "custom_id": "b"}]}


class _Skipping(selectors.DefaultSelector):
    now = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Skipping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(main())


class Scene:
    """One interaction of a user with a bot whose code is `self.say`. lag_s: how long a request to Discord takes."""

    def __init__(self, kind: str = "command", lag_s: float = 0.05, limits: WorkerLimits | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.lag_s, self.limits, self.losing = lag_s, limits or WorkerLimits(), 0
        self.outcomes: list[Outcome] = []
        self.guard = InteractionGuard(lambda: self, lambda: self.limits, self.outcomes.append, self.loop.time)
        self.discord = LocalDiscord(Mint(b"a secret of the tests"), self.unix_s, Rules())
        self.application = self.discord.world.register("alpha")
        commands = [{"name": "c", "description": "d", "options": [
            {"type": 3, "name": "o", "description": "d", "autocomplete": True}]}]  # fmt: skip
        self.application.commands.overwrite(self.application.id, None, commands, self.discord.ids, self.unix_s())
        self.socket = FakeSocket(self.discord)
        self.socket.identify(self.discord.world.token_of(self.application))
        self.interaction = self.use(kind)
        self.payload = self.socket.payloads[-1]["d"]

    def unix_s(self) -> float:
        return self.loop.time() + 1_800_000_000.0

    def use(self, kind: str = "command") -> Interaction:
        place = acting.place_of(self.discord, self.discord.world.channels[self.application.home_channel_id])
        user = self.application.owner
        if kind == "command":
            act = acts.use_command(self.application, place, user, "c", {})
        elif kind == "autocomplete":
            act = acts.type_option(self.application, place, user, "c", {"o": "x"}, "o")
        else:
            opened = self.use()
            self.discord.interactions.respond(
                opened.id,
                opened.token,
                {"type": 4, "data": {"content": "b", "components": [BUTTON]}},
                [],
                self.unix_s(),
            )
            source = self.discord.interactions.original(opened)
            assert source is not None
            act = acts.use_component(place, user, source, "b", None)
        return acting.perform(self.discord, self.application, user, place, act)[0]

    # As `Wire`, and what hikari would send for the code

    async def _ask(self, what: Callable[[], Any]) -> Any:
        await asyncio.sleep(self.lag_s)
        try:
            answer = what()
        except DiscordError as error:
            kind = hikari.BadRequestError if error.fault.status == 400 else hikari.NotFoundError
            raise kind(url="", headers={}, raw_body=b"", message=error.fault.message, code=error.fault.code) from error
        self.check()
        if self.losing:
            self.losing -= 1
            raise TimeoutError
        return answer

    async def answer(self, _exchange: Exchange, answer: Answer, data: dict[str, Any]) -> None:
        await self._respond({"type": int(answer), "data": data})

    async def _respond(self, body: dict[str, Any]) -> Any:
        at = self.interaction
        return await self._ask(lambda: self.discord.interactions.respond(at.id, at.token, body, [], self.unix_s()))

    async def edit(self, _exchange: Exchange, message_id: str, said: Said) -> dict[str, Any]:
        return dict(await self._message("edit", message_id, dict(said.as_edit().fields), []))

    async def new(self, _exchange: Exchange, said: Said, *, private: bool) -> dict[str, Any]:
        return await self._follow_up(dict(said.as_new(private=private).fields))

    async def _follow_up(self, body: dict[str, Any]) -> dict[str, Any]:
        key = (self.application.id, self.interaction.token)
        made = await self._ask(lambda: self.discord.interactions.follow_up(*key, body, [], self.unix_s()))
        return dict(made[0])

    async def fetch(self, _exchange: Exchange, message_id: str) -> dict[str, Any]:
        return dict(await self._message("get", message_id))

    async def delete(self, _exchange: Exchange, message_id: str) -> None:
        with contextlib.suppress(hikari.NotFoundError):
            await self._message("delete", message_id)

    async def _message(self, what: str, message_id: str, *more: Any) -> Any:
        ask = getattr(self.discord.interactions, what)
        return await self._ask(
            lambda: ask(self.application.id, self.interaction.token, message_id, *more, self.unix_s())
        )

    async def say(self, op: Op, content: str = "", answer: Answer | None = None, *, private: bool = False) -> Any:
        """Call as the bot's code does."""
        fields: dict[str, Any] = {"content": content} if content else {}
        fields |= {"flags": EPHEMERAL} if private else {}
        asks: dict[Op, Callable[[], Awaitable[Any]]] = {
            Op.ANSWER: lambda: self._respond({"type": int(answer or 4), "data": fields}),
            Op.EDIT: lambda: self._message("edit", ORIGINAL, {"content": content}, []),
            Op.FETCH: lambda: self._message("get", ORIGINAL),
            Op.DELETE: lambda: self._message("delete", ORIGINAL),
            Op.FOLLOW_UP: lambda: self._follow_up(fields),
        }
        exchange = self.guard.find(self.interaction.token)
        if exchange is None:
            return await asks[op]()
        return await self.guard.carry(exchange, Call(op, answer, private), Said(fields), asks[op])

    async def handle(self, code: Callable[[Any], Awaitable[None]]) -> None:
        """Let the bot's code handle the interaction, as hikari does."""
        assert self.guard.see(None, self.payload)
        exchange = self.guard.find(self.interaction.token)
        assert exchange is not None

        async def invoke(listener: Callable[[Any], Awaitable[None]]) -> None:
            with contextlib.suppress(LookupError):
                await listener(None)

        await self.guard.handle(exchange, code, invoke, heard=False)

    # What is seen

    def messages(self) -> list[dict[str, Any]]:
        original = self.discord.interactions.original(self.interaction)
        return [*([] if original is None else [original]), *self.discord.interactions.follow_ups(self.interaction)]

    def check(self) -> None:
        for message in self.messages():
            assert "secret" not in message["content"] or message["flags"] & EPHEMERAL, message

    def check_source(self, *, changes: bool) -> None:
        """Check that the message with the button is as it was, unless the code changes it."""
        source = self.interaction.act.source
        if source is not None and not changes:
            now = self.discord.messages.find(self.interaction.channel.id, source["id"])
            assert (now or {})["content"] == "b"

    def contents(self) -> list[str]:
        return [message["content"] for message in self.messages()]


# Any code ------------------------------------------------------------------------------------------------------------

ANSWERS = [Answer.MESSAGE, Answer.DEFERRED_MESSAGE, Answer.UPDATE, Answer.DEFERRED_UPDATE]
FIRST = st.tuples(st.sampled_from(ANSWERS), st.booleans())
WAITS = st.sampled_from([0.0, 0.5, 1.74, 1.78, 1.8, 1.82, 1.9, 2.5, 9.0, 30.0, 150.0])
STEPS = st.lists(st.tuples(WAITS, st.sampled_from([Op.EDIT, Op.FOLLOW_UP, Op.FETCH]), st.booleans()), max_size=4)


class Code:
    """A bot's code that says what it wants when it wants, and looks whether it is where it should be."""

    def __init__(self, scene: Scene, answer: Answer, *, private: bool) -> None:
        self.scene, self.answer, self.private = scene, answer, private
        self.makes = answer in {Answer.MESSAGE, Answer.DEFERRED_MESSAGE}
        self.is_private = private and self.makes  # as the code takes its initial response to be
        self.waits = answer is Answer.DEFERRED_MESSAGE
        self.last = ""

    async def begin(self) -> None:
        if self.answer in {Answer.MESSAGE, Answer.UPDATE}:
            self.last = self._text(0, private=self.is_private)
        await self.scene.say(Op.ANSWER, self.last, self.answer, private=self.private)

    async def go_on(self, number: int, op: Op, *, private: bool) -> None:
        if op is Op.FETCH:
            if self.last:
                assert (await self.scene.say(op))["content"] == self.last
            return
        fills = op is Op.EDIT or self.waits
        text = self._text(number, private=self.is_private if fills else private)
        await self.scene.say(op, text, private=op is Op.FOLLOW_UP and private and not fills)
        self.waits = False
        self.last = text if fills else self.last
        assert text in self.scene.contents()

    async def delete(self) -> None:
        await self.scene.say(Op.DELETE)
        assert not self.last or self.last not in self.scene.contents()

    def _text(self, number: int, *, private: bool) -> str:
        return f"{'secret' if private else 'open'} {number}"


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["command", "component"]),
    first=FIRST,
    wait_s=WAITS,
    steps=STEPS,
    lag_s=st.sampled_from([0.0, 0.01, 0.05, 0.2]),
    habit=st.sampled_from([None, False, True]),
    ends=st.sampled_from(["", "deletes", "elsewhere"]),
)
@example(
    kind="component",
    first=(Answer.DEFERRED_MESSAGE, True),
    wait_s=2.5,
    steps=[(0.0, Op.EDIT, False)],
    lag_s=0.05,
    habit=None,
    ends="",
)
@example(
    kind="component",
    first=(Answer.DEFERRED_MESSAGE, False),
    wait_s=2.5,
    steps=[(0.0, Op.FOLLOW_UP, False)],
    lag_s=0.05,
    habit=None,
    ends="deletes",
)
@example(
    kind="component", first=(Answer.DEFERRED_MESSAGE, True), wait_s=2.5, steps=[], lag_s=0.0, habit=None, ends="deletes"
)
@example(
    kind="component",
    first=(Answer.MESSAGE, True),
    wait_s=2.5,
    steps=[(0.0, Op.EDIT, False)],
    lag_s=0.0,
    habit=None,
    ends="deletes",
)
def test_whatever_code_says_and_when_is_said_to_whom_it_is_for_and_no_call_fails(
    *,
    kind: str,
    first: tuple[Answer, bool],
    wait_s: float,
    steps: list[tuple[float, Op, bool]],
    lag_s: float,
    habit: bool | None,
    ends: str,
) -> None:
    answer, private = first
    if kind == "command" and answer in {Answer.UPDATE, Answer.DEFERRED_UPDATE}:
        answer = Answer.MESSAGE

    async def main() -> None:
        scene = Scene(kind, lag_s)
        code = Code(scene, answer, private=private)
        if habit is not None:
            scene.guard._habits.note("c", Call(Op.ANSWER, Answer.MESSAGE, habit))

        async def talk(_event: Any) -> None:
            await asyncio.sleep(wait_s)
            await code.begin()
            for number, (pause_s, op, is_private) in enumerate(steps, 1):
                await asyncio.sleep(pause_s)
                await code.go_on(number, op, private=is_private)
            if ends == "deletes" and code.makes:
                await code.delete()

        async def hand_on(event: Any) -> None:
            tasks.append(asyncio.create_task(talk(event)))

        tasks: list[asyncio.Task[None]] = []
        await scene.handle(hand_on if ends == "elsewhere" else talk)
        await asyncio.gather(*tasks)
        await asyncio.sleep(900)
        assert not any(message["flags"] & LOADING for message in scene.messages())
        assert scene.interaction.response is not None
        scene.check_source(changes=not code.makes)

    run(main)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["command", "component"]),
    first=st.none() | FIRST,
    waits=st.tuples(WAITS, WAITS),
    lag_s=st.sampled_from([0.0, 0.05, 0.2]),
)
def test_whenever_code_fails_its_user_alone_is_told_once(
    kind: str, first: tuple[Answer, bool] | None, waits: tuple[float, float], lag_s: float
) -> None:
    async def main() -> None:
        scene = Scene(kind, lag_s)

        async def code(_event: Any) -> None:
            await asyncio.sleep(waits[0])
            if first is not None and (kind == "component" or first[0] < Answer.DEFERRED_UPDATE):
                await scene.say(Op.ANSWER, "" if "DEFERRED" in first[0].name else "open", first[0], private=first[1])
            await asyncio.sleep(waits[1])
            raise LookupError

        await scene.handle(code)
        told = [message for message in scene.messages() if "Sorry" in message["content"]]
        assert [message["flags"] & (EPHEMERAL | LOADING) for message in told] == [EPHEMERAL]
        assert [outcome.what for outcome in scene.outcomes].count("failed") == 1
        await asyncio.sleep(900)
        assert [message["content"] for message in scene.messages() if "Sorry" in message["content"]] == [
            message["content"] for message in told
        ]

    run(main)


# Single matters ------------------------------------------------------------------------------------------------------


def test_answer_that_comes_after_it_was_given_up_takes_the_errors_place() -> None:
    async def main() -> None:
        scene = Scene()

        async def nothing(_event: Any) -> None:
            pass

        await scene.handle(nothing)
        await asyncio.sleep(60)
        assert "not finished" in scene.contents()[0]
        await scene.say(Op.ANSWER, "open", Answer.MESSAGE)
        assert scene.contents() == ["open"]

    run(main)


def test_deferral_whose_acceptance_was_lost_is_found_by_the_codes_answer() -> None:
    async def main() -> None:
        scene = Scene()
        scene.losing = 1

        async def code(_event: Any) -> None:
            await asyncio.sleep(2.5)
            await scene.say(Op.ANSWER, "secret", Answer.MESSAGE, private=True)

        await scene.handle(code)
        assert scene.contents() == ["secret"]

    run(main)


def test_answer_that_somebody_else_gave_is_left_alone() -> None:
    async def main() -> None:
        scene = Scene()

        async def code(_event: Any) -> None:
            await scene._respond({"type": 4, "data": {"content": "without hikari"}})

        await scene.handle(code)
        await asyncio.sleep(900)
        assert scene.contents() == ["without hikari"]

    run(main)


def test_answer_that_discord_refuses_late_is_followed_by_a_deferral() -> None:
    async def main() -> None:
        scene = Scene(lag_s=0.3)

        async def code(_event: Any) -> None:
            await asyncio.sleep(1.7)
            with pytest.raises(hikari.BadRequestError):
                await scene.say(Op.ANSWER, "", Answer.MESSAGE)
            await asyncio.sleep(3)
            await scene.say(Op.ANSWER, "open", Answer.MESSAGE)

        await scene.handle(code)
        assert scene.contents() == ["open"]

    run(main)


def test_modal_after_the_deferral_is_refused_with_words_for_both() -> None:
    async def main() -> None:
        scene = Scene("component")

        async def code(_event: Any) -> None:
            await asyncio.sleep(2)
            with pytest.raises(TooLateForModalError, match="deferred"):
                await scene.say(Op.ANSWER, "", Answer.MODAL)

        await scene.handle(code)
        assert "cannot be shown" in scene.contents()[-1]

    run(main)


def test_component_that_says_nothing_is_acknowledged_and_no_more() -> None:
    async def main() -> None:
        scene = Scene("component")

        async def nothing(_event: Any) -> None:
            pass

        await scene.handle(nothing)
        await asyncio.sleep(900)
        assert scene.interaction.response == {"type": 6, "data": {}}
        assert scene.contents() == ["b"]

    run(main)


def test_autocomplete_gets_no_choices_shortly_before_it_is_void_also_when_it_fails() -> None:
    async def main() -> None:
        scene = Scene("autocomplete")

        async def late(_event: Any) -> None:
            await asyncio.sleep(2.8)
            await scene.say(Op.ANSWER, "", Answer.CHOICES)

        await scene.handle(late)
        assert (scene.interaction.response or {})["data"] == {"choices": []}
        assert 2400 < (scene.interaction.elapsed_ms or 0) < 2900
        failing = Scene("autocomplete")

        async def fail(_event: Any) -> None:
            raise LookupError

        await failing.handle(fail)
        assert (failing.interaction.elapsed_ms or 0) < 200

    run(main)


def test_listener_that_fails_beside_the_one_that_answers_bothers_nobody() -> None:
    async def main() -> None:
        scene = Scene()

        async def fail(_event: Any) -> None:
            raise LookupError

        async def code(_event: Any) -> None:
            await asyncio.sleep(1)
            await scene.say(Op.ANSWER, "open", Answer.MESSAGE)

        await asyncio.gather(scene.handle(fail), scene.handle(code))
        assert scene.contents() == ["open"]

    run(main)


def test_bots_own_code_that_hears_of_a_failure_may_say_what_it_wants() -> None:
    async def main() -> None:
        scene = Scene()
        assert scene.guard.see(None, scene.payload)
        exchange = scene.guard.find(scene.interaction.token)
        assert exchange is not None

        async def fail(_event: Any) -> None:
            raise LookupError

        async def invoke(listener: Callable[[Any], Awaitable[None]]) -> None:
            with contextlib.suppress(LookupError):
                await listener(None)
            tasks.append(asyncio.create_task(scene.say(Op.ANSWER, "open", Answer.MESSAGE)))

        tasks: list[asyncio.Task[Any]] = []
        await scene.guard.handle(exchange, fail, invoke, heard=True)
        assert scene.contents() == ["open"]

    run(main)


def test_menu_that_nobody_used_is_no_failure_to_its_user() -> None:
    async def main() -> None:
        scene = Scene()

        async def code(_event: Any) -> None:
            await scene.say(Op.ANSWER, "menu", Answer.MESSAGE)
            scene.guard.notice(scene.interaction.token)
            assert await scene.guard.failed(scene.interaction.token, TimeoutError())

        await scene.handle(code)
        assert scene.contents() == ["menu"]
        assert not await scene.guard.failed("unknown", TimeoutError())

    run(main)


def test_what_discord_does_not_answer_is_no_error_of_the_code() -> None:
    async def main() -> None:
        scene = Scene(lag_s=20)

        async def nothing(_event: Any) -> None:
            pass

        await scene.handle(nothing)
        await asyncio.sleep(60)
        assert scene.interaction.response is None
        assert scene.outcomes == []

    run(main)


def test_those_who_wait_at_the_end_are_told_and_others_are_not() -> None:
    async def main() -> None:
        scene = Scene()

        async def code(_event: Any) -> None:
            await asyncio.sleep(600)

        handling = asyncio.create_task(scene.handle(code))
        await asyncio.sleep(2)
        await scene.guard.finish()
        assert "restarted" in scene.contents()[0]
        await scene.guard.finish()
        assert [outcome.what for outcome in scene.outcomes] == ["deferred", "restarted"]
        handling.cancel()

    run(main)


# Too late ------------------------------------------------------------------------------------------------------------


class Shard:
    is_connected = True


def seen(scene: Scene, shard: Shard, age_s: float, clock_off_s: float = 0.0) -> bool:
    """Show the guard an interaction of this age; clock_off_s: how far the host's clock is ahead."""
    wall_ms = (scene.loop.time() + scene.guard._wall_s - age_s - clock_off_s) * 1000
    seen.count += 1  # type: ignore[attr-defined]
    snowflake = (int(wall_ms) - EPOCH_MS) << 22 | seen.count  # type: ignore[attr-defined]
    return scene.guard.see(shard, scene.payload | {"id": str(snowflake), "token": f"t{snowflake}"})


seen.count = 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("clock_off_s", [-3600.0, 0.0, 3600.0])
def test_after_the_loop_hung_only_what_is_too_late_is_not_run(clock_off_s: float) -> None:
    async def main() -> None:
        scene = Scene()
        scene.guard.beat(2.0)
        assert seen(scene, Shard(), 0.1, clock_off_s)
        await asyncio.sleep(6)  # where 2 s were due
        assert not seen(scene, Shard(), 5, clock_off_s)
        assert seen(scene, Shard(), 2, clock_off_s)
        assert seen(scene, Shard(), 0.1, clock_off_s)
        assert [outcome.what for outcome in scene.outcomes].count("too_late") == 1
        for _ in range(10):
            scene.guard.beat(2.0)
            await asyncio.sleep(2)
        assert seen(scene, Shard(), 5, clock_off_s)  # nothing has kept it, so it is the clock

    run(main)


def test_what_the_loop_comes_to_too_late_is_not_run() -> None:
    async def main() -> None:
        scene = Scene()
        assert scene.guard.see(None, scene.payload)
        exchange = scene.guard.find(scene.interaction.token)
        assert exchange is not None
        scene.loop._clock.now += 2.95  # type: ignore[attr-defined]
        ran = []

        async def code(_event: Any) -> None:
            ran.append(True)

        for _ in range(2):
            await scene.guard.handle(exchange, code, lambda listener: listener(None), heard=False)
        await asyncio.sleep(1)
        assert (ran, [outcome.what for outcome in scene.outcomes]) == ([], ["too_late"])

    run(main)


def test_of_what_is_replayed_the_old_is_not_run_and_the_new_is() -> None:
    async def main() -> None:
        scene, shard = Scene(), Shard()
        assert seen(scene, shard, 0.1)
        shard.is_connected = False
        assert [seen(scene, shard, age) for age in (30, 5, 2.5, 0.5)] == [False, False, True, True]
        fresh = Scene()  # a new process, which does not know the clock yet
        assert [seen(fresh, shard, age) for age in (30, 5, 0.5)] == [False, True, True]

    run(main)


def test_interaction_that_has_waited_is_deferred_as_much_earlier() -> None:
    async def main() -> None:
        scene, shard = Scene(), Shard()
        seen(scene, shard, 0.0)
        shard.is_connected = False
        exchange_before = set(scene.guard._held)
        seen(scene, shard, 1.5)
        (token,) = set(scene.guard._held) - exchange_before
        exchange = scene.guard.find(token)
        assert exchange is not None
        assert exchange.due - scene.loop.time() == pytest.approx(0.3, abs=0.01)

    run(main)


@pytest.mark.parametrize("payload", [None, [], {}, {"type": 2}, {"type": 99, "id": "1", "token": "t", "data": {}}])
def test_nonsense_is_handed_on(payload: Any) -> None:
    async def main() -> None:
        assert Scene().guard.see(None, payload)

    run(main)


@pytest.mark.parametrize("answer", [Answer.MESSAGE, Answer.DEFERRED_MESSAGE])
def test_nothing_is_kept_of_what_is_answered(answer: Answer) -> None:
    async def main() -> None:
        scene = Scene(lag_s=0)

        async def code(_event: Any) -> None:
            await asyncio.sleep(2)
            await scene.say(Op.ANSWER, "open", answer)
            if answer is Answer.DEFERRED_MESSAGE:
                await scene.say(Op.EDIT, "open")

        await scene.handle(code)
        await asyncio.sleep(3)
        assert (len(scene.guard._held), len(scene.guard._agenda)) == (0, 0)

    run(main)


def test_flood_of_interactions_stays_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 100)

    async def main() -> None:
        scene = Scene(lag_s=0)
        for number in range(1000):
            scene.guard.see(None, scene.payload | {"token": str(number)})
        assert len(scene.guard._held) == 100
        await asyncio.sleep(1000)
        scene.guard.see(None, scene.payload | {"token": "last"})
        assert len(scene.guard._held) == 1
        assert len(scene.guard._agenda) == 1

    run(main)
