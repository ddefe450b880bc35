"""What a sync does to commands that are not those of the code that runs: lightbulb by itself, and a worker of ours."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hikari
import lightbulb
import pytest

from tests.contract.sandbox.starts import Case, Loading


class _Report(
    lightbulb.MessageCommand, name="Report", nsfw=True, default_member_permissions=hikari.Permissions.KICK_MEMBERS
):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("reported")


class _Who(lightbulb.UserCommand, name="Who", nsfw=True, default_member_permissions=hikari.Permissions.BAN_MEMBERS):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("you")


async def test_age_and_permissions_of_every_kind_of_command_reach_discord(case: Case) -> None:
    async def register(client: lightbulb.Client) -> None:
        client.register(_Report)
        client.register(_Who)
        client.register(lightbulb.Group("adult", "Of age.", nsfw=True)).register(_Buy)

    class _Buy(lightbulb.SlashCommand, name="buy", description="Buys."):
        @lightbulb.invoke
        async def invoke(self, ctx: lightbulb.Context) -> None:
            await ctx.respond("bought")

    await case.start(loading=register)
    found = {each["name"]: (each["nsfw"], each["default_member_permissions"]) for each in await case.commands()}
    assert found == {
        "Report": (True, str(int(hikari.Permissions.KICK_MEMBERS))),
        "Who": (True, str(int(hikari.Permissions.BAN_MEMBERS))),
        "adult": (True, None),
        "shop": (False, None),
    }


ENTRY_POINT = {"type": 4, "name": "launch", "handler": 2, "name_localizations": {"de": "starten"}, "nsfw": True}
FOREIGN = {
    "name": "theirs",
    "description": "Of another program.",
    "name_localizations": {"de": "ihres"},
    "description_localizations": {"de": "Eines anderen Programms."},
    "default_member_permissions": "0",
    "contexts": [0, 1],
    "options": [
        {
            "type": 3,
            "name": "colour",
            "description": "Which.",
            "name_localizations": {"de": "farbe"},
            "choices": [{"name": "red", "value": "r", "name_localizations": {"de": "rot"}}],
        }
    ],
}


async def _given(case: Case, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"/applications/{case.application_id}/commands"
    status, _ = await case.sandbox.rest("PUT", path, case.token, list(commands))
    assert status == 200
    return await case.named(*(command["name"] for command in commands))


async def test_an_entry_point_survives_every_sync(case: Case) -> None:
    before = await _given(case, ENTRY_POINT, FOREIGN)
    await case.start()
    assert await case.names() == ["launch", "shop"], "what is another program's goes, unless the bot leaves it alone"
    await case.stop()
    await case.start(name="store")
    assert await case.named("launch", "store") == [before[0], *await case.named("store")]


async def test_what_belongs_to_other_programs_stays_word_for_word(case: Case) -> None:
    before = await _given(case, ENTRY_POINT, FOREIGN)
    await case.start(delete=False)
    assert await case.names() == ["launch", "shop", "theirs"]
    assert await case.named("launch", "theirs") == before


async def test_other_commands_go_once_the_bot_no_longer_leaves_them_alone(case: Case) -> None:
    await _given(case, FOREIGN)
    await case.start(delete=False)
    await case.stop()
    await case.start()
    assert await case.names() == ["shop"]


EXTENSION = """
import lightbulb
{line}
loader = lightbulb.Loader()

@loader.command
class Command(lightbulb.SlashCommand, name="{name}", description="Of an extension."):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None:
        await ctx.respond("yes")
"""


async def _one_by_one(client: lightbulb.Client) -> None:
    for name in ("parts.half", "parts.whole"):
        with contextlib.suppress(Exception):
            await client.load_extensions(name)


async def _as_a_package(client: lightbulb.Client) -> None:
    with contextlib.suppress(Exception):
        await client.load_extensions_from_package(importlib.import_module("parts"), recursive=True)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """What writes a package of two extensions anew, one of them with a line of the test's."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "parts"]:
            del sys.modules[name]

    def write(line: str) -> None:
        forget()
        for name in ("whole", "half"):
            content = EXTENSION.format(name=name, line=line if name == "half" else "")
            (tmp_path / "parts" / f"{name}.py").write_text(content)

    yield write
    forget()


@pytest.mark.parametrize("loading", [_one_by_one, _as_a_package])
@pytest.mark.parametrize("line", ["import not_there", "1 / 0", "a = = 1"])
async def test_an_extension_that_fails_loses_no_commands_whoever_loads_it(
    case: Case, parts: Callable[[str], None], loading: Loading, line: str
) -> None:
    parts("")
    await case.start(loading=loading, guild=case.guild_id)
    assert await case.names() == ["half", "whole"]
    await case.stop()
    parts(line)
    await case.start(loading=loading)
    assert await case.names() == ["half", "shop", "whole"]
    assert await case.names(case.guild_id) == ["shop"], "nothing is taken away while it is not known what is wanted"
    assert "parts.half" in [name for report in case.reports for name in report.lost]
    await case.stop()
    assert await case.start(loading=loading) == [], "nothing has changed"
    assert [bool(report.lost) for report in case.reports] == [True]
    await case.stop()
    parts("")
    await case.start(loading=loading)
    assert await case.names() == ["half", "shop", "whole"]
    assert await case.names(case.guild_id) == []


async def test_an_extension_that_is_gone_for_good_takes_its_commands_along(
    case: Case, parts: Callable[[str], None]
) -> None:
    parts("import not_there")
    await _given(case, {"name": "half", "description": "Of an extension."})
    await case.start(loading=_one_by_one)
    assert await case.names() == ["half", "shop", "whole"]

    async def whole_alone(client: lightbulb.Client) -> None:
        await client.load_extensions("parts.whole")

    await case.stop()
    await case.start(loading=whole_alone)
    assert await case.names() == ["shop", "whole"]


async def test_a_command_for_no_guild_at_all_is_named(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    async def register(client: lightbulb.Client) -> None:
        client.register(_Who, guilds=[])

    await case.start(loading=register)
    assert await case.names() == ["shop"]
    assert "registered nowhere, for their list of guilds is empty: ['Who']" in caplog.text


# What lightbulb does by itself: a release that does otherwise makes some of our code needless ------------------


async def test_lightbulb_alone_sends_no_age_and_sees_no_change_of_permissions(case: Case) -> None:
    await case.start(alone=True, nsfw=True)
    await case.stop()
    await case.start(alone=True, permissions=hikari.Permissions.MANAGE_GUILD)
    (shop,) = await case.commands()
    assert (shop["nsfw"], shop["default_member_permissions"]) == (False, None)


async def test_lightbulb_alone_leaves_the_entry_point_out_and_registers_nothing(case: Case) -> None:
    await _given(case, ENTRY_POINT)
    with pytest.raises(hikari.BadRequestError, match="Entry Point"):
        await case.start(alone=True)
    assert await case.names() == ["launch"]


async def test_lightbulb_alone_wipes_the_translations_of_others(case: Case) -> None:
    (before,) = await _given(case, FOREIGN)
    await case.start(alone=True, delete=False)
    (after,) = await case.named("theirs")
    assert before["description_localizations"] == {"de": "Eines anderen Programms."}
    assert not after["description_localizations"]


async def test_lightbulb_alone_takes_the_commands_of_a_lost_extension_away(
    case: Case, parts: Callable[[str], None]
) -> None:
    parts("import not_there")
    await _given(case, {"name": "half", "description": "Of an extension."})
    await case.start(alone=True, loading=_one_by_one)
    assert await case.names() == ["shop", "whole"]


async def test_lightbulb_alone_leaves_commands_in_a_guild_that_they_were_taken_out_of(case: Case) -> None:
    await case.start(alone=True, guild=case.guild_id)
    await case.stop()
    await case.start(alone=True)
    assert await case.names(case.guild_id) == ["shop"]


@pytest.mark.parametrize("alone", [True, False])
async def test_lightbulb_alone_sends_translated_commands_at_each_start(case: Case, alone: bool) -> None:
    class Translated(lightbulb.SlashCommand, name="buy.name", description="buy.text", localize=True):
        @lightbulb.invoke
        async def invoke(self, ctx: lightbulb.Context) -> None:
            await ctx.respond("bought")

    async def register(client: lightbulb.Client) -> None:
        texts = {
            hikari.Locale.EN_US: {"buy.name": "buy", "buy.text": "Buys."},
            hikari.Locale.DE: {"buy.name": "kaufe", "buy.text": "Kauft."},
        }
        client.localization_provider = lightbulb.DictLocalizationProvider(texts)
        client.register(Translated)

    await case.start(alone=alone, loading=register)
    assert (await case.named("buy"))[0]["description_localizations"]["de"] == "Kauft."
    await case.stop()
    assert ("PUT commands" in await case.start(alone=alone, loading=register)) is alone
