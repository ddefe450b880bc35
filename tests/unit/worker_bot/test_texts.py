"""Every language says everything, and a file that is broken breaks no bot."""

import re
import string
from pathlib import Path

import hikari
import pytest

from flotilla.domain.config import BotConfig
from worker_bot import itself, texts
from worker_bot.texts import DEFAULT, FOLDER, Speech, load

LOCALES = load(FOLDER)
ENGLISH = LOCALES[DEFAULT]
COMMAND = re.compile(r"[-_\w]{1,32}")
"""Discord, Application Commands, "Naming"; lower case where there is one."""


def words_in(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_each_file_is_a_locale_of_discords() -> None:
    assert set(LOCALES) == {path.stem for path in FOLDER.iterdir()} >= {"en-US", "id"}


@pytest.mark.parametrize("locale", sorted(LOCALES))
def test_each_locale_has_the_same_keys_and_words_to_fill_in(locale: str) -> None:
    found = LOCALES[locale]
    assert set(found) == set(ENGLISH)
    for key, template in found.items():
        assert words_in(template) == words_in(ENGLISH[key]), key


@pytest.mark.parametrize("locale", sorted(LOCALES))
def test_discord_takes_each_locales_names_and_descriptions(locale: str) -> None:
    for key, text in LOCALES[locale].items():
        if not key.startswith("commands."):
            continue
        if key.endswith(".name"):
            assert COMMAND.fullmatch(text), key
            assert text == text.lower(), key
        elif key.endswith(".description"):
            assert 1 <= len(text) <= 100, key


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (("id", "en-US"), "id"),
        (("fr", "id"), "id"),
        (("en-GB", "id"), "en-US"),
        (("fr", None, ""), "en-US"),
        (("", "", "id"), "id"),
        (("x" * 6000, "\u202e", "id"), "id"),
        ((), "en-US"),
    ],
)
def test_the_first_language_that_there_is_is_spoken(wanted: tuple[str | None, ...], chosen: str) -> None:
    assert Speech(LOCALES).chosen(*wanted) == chosen


def test_what_a_locale_lacks_or_has_wrong_is_said_in_english() -> None:
    english = {"hello": "Hello {name}", "bye": "Bye", "odd": "{name.x}"}
    speech = Speech({"id": {"hello": "Halo {nama}", "odd": "{0}"}, DEFAULT: english})
    assert speech.say("id", "hello", name="Ann") == "Hello Ann"
    assert speech.say("id", "bye") == "Bye"
    assert speech.say("id", "odd", name="Ann") == "odd"
    assert speech.say("nowhere", "no.such.text") == "no.such.text"
    assert speech.say("id", "hello", name="{bye} %s") == "Hello {bye} %s"


def test_broken_files_are_left_out(tmp_path: Path) -> None:
    for name, content in {
        "id": b"[guard",
        "de": b"\xff\xfe",
        "klingon": b'[a]\nb = "x"',
        "fr": b"a = " + b"[" * 10_000,
        "en-US": b'[a]\nb = "text"\nc = 7\nd = ""',
    }.items():
        (tmp_path / f"{name}.toml").write_bytes(content)
    (tmp_path / "da.toml").mkdir()
    assert load(tmp_path) == {"en-US": {"a.b": "text"}}
    assert load(tmp_path / "nowhere") == {}
    bare = Speech(load(tmp_path / "nowhere"))
    assert bare.provide("commands.ping.name") == {hikari.Locale.EN_US: "name"}
    assert bare.say(bare.chosen("id"), "guard.failed") == "guard.failed"


def test_lightbulb_gets_each_locale_by_discords_name() -> None:
    assert texts.provide("commands.stock.name") == {hikari.Locale.EN_US: "stock", hikari.Locale.ID: "stok"}


def test_user_then_guild_then_bot_decide() -> None:
    itself.install(itself.Itself(config=lambda: BotConfig(locale="id")))
    try:
        assert texts.spoken("en-US", "id") == "en-US"
        assert texts.spoken("fr", "en-GB") == "en-US"
        assert texts.spoken("fr", None) == "id"
        assert texts.spoken(7, ["x"]) == "id"
    finally:
        itself.install(None)
