"""`flotilla bots secrets`: values go in by a prompt, stdin or a file, and are shown nowhere."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from flotilla.cli.bot_secrets import read_value

VALUE = "hunter2-of-the-shop"


def sent(fleet: Any, method: str) -> list[Any]:
    return [(path, body) for how, path, body in fleet.received if how == method]


def test_set_sends_what_stdin_has_and_says_what_is_needed_for_it_to_hold(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    result = cli("bots", "secrets", "shop", "set", "SHOP_DB", stdin=f"{VALUE}\n")
    assert (result.code, sent(fleet, "PUT")) == (0, [("/api/v1/bots/id-shop/secrets/SHOP_DB", {"value": VALUE})])
    assert "SHOP_DB of shop is set." in result.out
    assert "flotilla bots restart shop" in result.out
    assert VALUE not in result.out + result.err
    assert sent(fleet, "POST") == []


def test_with_restart_the_bot_is_restarted_and_waited_for(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    result = cli("bots", "secrets", "shop", "set", "SHOP_DB", "--restart", stdin=VALUE)
    assert (result.code, result.out) == (0, "SHOP_DB of shop is set.\nshop: ready again\n")
    assert fleet.bots["id-shop"]["generation"] == 2
    assert cli("bots", "secrets", "shop", "rm", "SHOP_DB", "--restart").out.startswith("SHOP_DB of shop is removed.\n")
    assert fleet.secrets == {"id-shop": {}}


def test_of_a_stopped_bot_it_holds_when_that_starts(cli: Any, fleet: Any) -> None:
    fleet.add("shop", state="STOPPED", desired="stopped", ready=False)
    assert "flotilla bots start shop" in cli("bots", "secrets", "shop", "set", "A", "--restart", stdin="x").out
    assert sent(fleet, "POST") == []


def test_a_file_gives_a_value_of_several_lines(cli: Any, fleet: Any, tmp_path: Path) -> None:
    fleet.add("shop")
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN-----\nabc\n-----END-----\n")
    assert cli("bots", "secrets", "shop", "set", "KEY", "--file", str(key)).code == 0
    assert sent(fleet, "PUT")[0][1] == {"value": "-----BEGIN-----\nabc\n-----END-----"}
    key.write_bytes(b"\xff\xfe")
    assert cli("bots", "secrets", "shop", "set", "KEY", "--file", str(key)).code == 1
    key.write_text("x" * 5000)
    assert cli("bots", "secrets", "shop", "set", "KEY", "--file", str(key)).code == 1
    assert "cannot be read" in cli("bots", "secrets", "shop", "set", "KEY", "--file", str(tmp_path / "none")).err
    assert len(sent(fleet, "PUT")) == 1


@pytest.mark.parametrize(
    "words", [["SHOP_DB", VALUE], [f"SHOP_DB={VALUE}"], ["SHOP_DB", "--value", VALUE], ["SHOP_DB", f"--value={VALUE}"]]
)
def test_a_value_on_the_command_line_is_refused_and_sent_nowhere(cli: Any, fleet: Any, words: list[str]) -> None:
    fleet.add("shop")
    result = cli("bots", "secrets", "shop", "set", *words)
    assert result.code == 1
    assert "every user of this machine can see it" in result.err
    assert VALUE not in result.out + result.err
    assert fleet.received == []


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (["set"], VALUE, 2),
        (["set", "SHOP_DB", "--fiel"], VALUE, 2),
        (["put", "SHOP_DB"], VALUE, 2),
        (["ls", "SHOP_DB"], "", 2),
        (["set", "PATH"], VALUE, 1),
        (["set", VALUE], "x", 1),
        (["set", "SHOP_DB"], "", 1),
        (["set", "SHOP_DB"], "\n", 1),
    ],
)
def test_what_cannot_be_is_refused_here(cli: Any, fleet: Any, words: list[str], stdin: str, code: int) -> None:
    fleet.add("shop")
    result = cli("bots", "secrets", "shop", *words, stdin=stdin)
    assert result.code == code
    assert VALUE not in result.out + result.err
    assert sent(fleet, "PUT") == []


def test_ls_shows_names_times_and_who_and_never_a_value(cli: Any, fleet: Any) -> None:
    fleet.add("shop")
    assert "flotilla bots secrets shop set SECRET" in cli("bots", "secrets", "shop").out
    cli("bots", "secrets", "shop", "set", "SHOP_DB", stdin=VALUE)
    out = cli("bots", "secrets", "shop", "ls").out
    assert out.splitlines()[0].split() == ["SECRET", "CHANGED", "BY"]
    assert "SHOP_DB" in out
    assert "admin" in out
    found = json.loads(cli("bots", "secrets", "shop", "--json").out)
    assert [row["name"] for row in found["items"]] == ["SHOP_DB"]
    assert VALUE not in json.dumps(found)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_it_is_typed_unseen() -> None:
    asked: list[str] = []

    def prompt(text: str) -> str:
        asked.append(text)
        return VALUE

    assert read_value(None, Terminal("never read"), prompt) == VALUE
    assert asked == ["Value (not shown): "]
    assert read_value(None, io.StringIO("with spaces \r\n")) == "with spaces "
    assert read_value(None, io.StringIO("two\nlines\n")) == "two\nlines"
