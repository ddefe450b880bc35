#!/usr/bin/env bash
# Package: hikari-lightbulb 3.2.6 with hikari 2.6.0, Python 3.11 or newer.
#
# Guess: `await modal.attach(client, custom_id, timeout=...)` ends when the modal is submitted: with what `on_submit`
# returns, or with the error it raises. TimeoutError means that nobody submitted it in time.
#
# What happens: an error in `on_submit` is logged as that of an event listener; the command that awaits `attach`
# stays where it is until the timeout is over, and then gets TimeoutError. So does a command whose user submitted in
# time while `on_submit` was still at work at the end of the timeout: `attach` gives up, and `on_submit` goes on to the
# end. The timeout counts typing and handling together.
# And modals are known by custom id alone: of two users with the same one, the answer of the first to submit comes out
# of the later command, and the other command ends with KeyError.
#
# Output seen:
#   hikari-lightbulb 3.2.6
#   on_submit raises at 0.1 s:       attach ends after 1.0 s with TimeoutError
#   on_submit works 0.1 s to 1.3 s:  attach ends after 1.0 s with TimeoutError, and the work is done all the same
#   two users, custom id "report":   the second command got 'from the first user'; the first one KeyError('report')
#
# Why it matters: the usual `except TimeoutError: "You took too long, try again"` is told to people whose report was
# saved, so they send it twice; and a broken handler shows up as slow users, not as errors of the command.
#
# Do instead: a custom id per command (`uuid.uuid4()`); in `on_submit` only take the values and return them, and do the
# work after `attach`, where errors reach the command's own error handler.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check hikari==2.6.0 hikari-lightbulb==3.2.6

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata
import time

import hikari
import lightbulb
from lightbulb.components import modals

TIMEOUT_S = 1.0


def submission(custom_id: str, user_id: str, text: str) -> dict[str, object]:
    """What Discord sends when somebody submits a modal in a direct message."""
    field = {"type": 4, "id": 2, "custom_id": "text", "value": text}
    return {
        "id": "11",
        "application_id": "1",
        "type": 5,
        "token": "interaction-token",
        "version": 1,
        "channel_id": "9",
        "channel": {"id": "9", "type": 1, "recipients": []},
        "user": {"id": user_id, "username": "someone", "discriminator": "0", "avatar": None, "global_name": None},
        "locale": "en-US",
        "entitlements": [],
        "authorizing_integration_owners": {},
        "context": 1,
        "attachment_size_limit": 1,
        "app_permissions": "0",
        "data": {"custom_id": custom_id, "components": [{"type": 1, "id": 1, "components": [field]}]},
    }


class Report(modals.Modal):
    def __init__(self, *, fails: bool = False, works_s: float = 0.0) -> None:
        self.text = self.add_short_text_input("What happened?", custom_id="text")
        self.fails, self.works_s, self.done = fails, works_s, False

    async def on_submit(self, ctx: modals.ModalContext) -> str | None:
        if self.fails:
            raise RuntimeError("the database is away")
        await asyncio.sleep(self.works_s)
        self.done = True
        return ctx.value_for(self.text)


async def main() -> None:
    print("hikari-lightbulb", importlib.metadata.version("hikari-lightbulb"))
    bot = hikari.GatewayBot("MQ.x.y", banner=None, logs=None, suppress_optimization_warning=True)
    client = lightbulb.client_from_app(bot, sync_commands=False)
    await client.start()

    def submit(custom_id: str, user_id: str = "7", text: str = "a text") -> asyncio.Task[None]:
        interaction = bot.entity_factory.deserialize_interaction(submission(custom_id, user_id, text))
        return asyncio.create_task(client.handle_interaction_create(interaction))

    async def command(modal: Report, custom_id: str) -> tuple[object, float]:
        began = time.monotonic()
        try:
            outcome: object = await modal.attach(client, custom_id, timeout=TIMEOUT_S)
        except Exception as error:
            outcome = error
        return outcome, time.monotonic() - began

    failing = asyncio.create_task(command(Report(fails=True), "failing"))
    await asyncio.sleep(0.1)
    raised = (await asyncio.gather(submit("failing"), return_exceptions=True))[0]
    first, first_s = await failing
    print(f"on_submit raises at 0.1 s:       attach ends after {first_s:.1f} s with {type(first).__name__}")

    report = Report(works_s=1.2)
    slow = asyncio.create_task(command(report, "slow"))
    await asyncio.sleep(0.1)
    work = submit("slow")
    second, second_s = await slow
    await work
    done = ", and the work is done all the same" if report.done else ""
    print(f"on_submit works 0.1 s to 1.3 s:  attach ends after {second_s:.1f} s with {type(second).__name__}{done}")

    of_one = asyncio.create_task(command(Report(), "report"))
    await asyncio.sleep(0.05)
    of_two = asyncio.create_task(command(Report(), "report"))
    await asyncio.sleep(0.05)
    await submit("report", "7", "from the first user")
    (two, _), (one, _) = await of_two, await of_one
    print(f'two users, custom id "report":   the second command got {two!r}; the first one {one!r}')

    held = (
        isinstance(raised, RuntimeError)
        and isinstance(first, TimeoutError)
        and first_s >= 0.9 * TIMEOUT_S
        and isinstance(second, TimeoutError)
        and report.done
        and two == "from the first user"
        and isinstance(one, KeyError)
    )
    if not held:
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py"
