"""`flotilla bots config`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.config_schemas import Refused
from tests.builders import T0


def flat(text: str) -> str:
    return re.sub(r"[\s│]+", " ", text)


def test_config_is_shown_changed_and_gone_back_to(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    assert "{}" in cli("bots", "config", "shop").out
    tried = flat(cli("bots", "config", "shop", "cache=members", 'intents=["GUILDS","GUILD_MEMBERS"]', "--dry-run").out)
    assert 'cache: default -> "members" (new_session)' in tried
    assert "one of the bot's 1,000 session starts" in tried
    assert "Switch on in the Developer Portal first (Bot, Privileged Gateway Intents): GUILD_MEMBERS" in tried
    assert "Nothing has been changed." in tried
    done = flat(cli("bots", "config", "shop", "presence.activity=chess", "presence.status=idle", "locale=id").out)
    assert "It holds at once" in done
    assert "This is version 1." in done
    assert "It is so already." in cli("bots", "config", "shop", "locale=id").out
    cli("bots", "config", "shop", "locale=default", "settings.shop.rows=5")
    assert json.loads(cli("bots", "config", "shop", "--json").out)["config"] == {
        "presence": {"activity": "chess", "status": "idle"},
        "settings": {"shop": {"rows": 5}},
    }
    shown = cli("bots", "config", "shop", "--history").out
    assert [line.split()[0] for line in shown.splitlines() if line.strip()[:1].isdigit()] == ["2", "1", "0"]
    assert "This is version 3." in flat(cli("bots", "config", "shop", "--rollback", "1").out)
    assert '"locale": "id"' in cli("bots", "config", "shop").out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bot.toml", 'locale = "id"\n[settings.shop]\nrows = 5\n'),
        ("bot.json", '{"locale": "id", "settings": {"shop": {"rows": 5}}}'),
    ],
)
def test_file_says_what_the_whole_config_is(cli: Any, fleet: Any, tmp_path: Path, name: str, text: str) -> None:
    fleet.add("shop")
    cli("bots", "config", "shop", "cache=none", "settings.shop.colour=red")
    file = tmp_path / name
    file.write_text(text)
    cli("bots", "config", "shop", "--file", str(file))
    assert json.loads(cli("bots", "config", "shop", "--json").out)["config"] == json.loads(
        '{"locale": "id", "settings": {"shop": {"rows": 5}}}'
    )


def test_config_that_was_refused_says_why_and_what_to_do(cli: Any, fleet: Any) -> None:
    fleet.add("shop", config_version=1, config_running=0, config_fault="intents_refused")
    fleet.refused = Refused(1, "intents_refused", "privileged intent not granted", "Switch it on.", "4014.", T0, 0)
    shown = flat(cli("bots", "config", "shop").out)
    assert "Refused: privileged intent not granted. 4014. The bot went back to version 0. Switch it on." in shown
    inspected = flat(cli("bots", "inspect", "shop").out)
    assert "version 1 was refused (intents_refused); version 0 runs." in inspected
    fleet.add("shop", config_version=2, config_running=1)
    assert "version 2; version 1 runs still" in flat(cli("bots", "inspect", "shop").out)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["locale"], 2, "is not FIELD=VALUE"),
        (["=id"], 2, "is not FIELD=VALUE"),
        (["presence=1", "presence.status=idle"], 2, "changes a part of what another argument sets"),
        (["locale=id", "--history"], 2, "give either"),
        (["--file", "/nowhere/bot.json"], 2, "cannot be read"),
        (["cache=huge"], 1, "cache"),
        (["cache=members"], 1, "GUILD_MEMBERS"),
    ],
)
def test_what_cannot_be_is_told(cli: Any, fleet: Any, arguments: list[str], code: int, told: str) -> None:
    fleet.add("shop")
    result = cli("bots", "config", "shop", *arguments)
    assert result.code == code
    assert told in flat(result.err)
    assert fleet.versions.get("id-shop", [{}])[1:] == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": ' * 5000, "\x00"])
def test_file_that_is_no_config_is_told(cli: Any, fleet: Any, tmp_path: Path, text: str) -> None:
    fleet.add("shop")
    file = tmp_path / "bot.json"
    file.write_text(text)
    result = cli("bots", "config", "shop", "--file", str(file))
    assert result.code == 2
    assert "bot.json" in flat(result.err).replace(" ", "")
