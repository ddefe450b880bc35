#!/usr/bin/env bash
# Packages: hikari-lightbulb 3.2.6 with hikari 2.6.0 and polib 1.2.0, Python 3.11 or newer.
#
# Guess: GnuLocalizationProvider reads .po files as gettext does. An entry that is not translated yet (`msgstr ""`, what
# msgmerge and every translation site write for new strings) is as good as missing: the default language is used. An
# entry marked `fuzzy`, a translation of an older text that waits for review, is left out. A folder named as gettext
# names it (`en_GB`, `pt_BR`) is that language.
#
# What happens: the empty string is taken for the translation and sent to Discord as a name or description of length 0;
# Discord refuses the whole list of commands for it (names and descriptions have at least 1 character). In the default
# language it becomes the description itself, although a missing key there is an error of its own. Fuzzy entries are
# sent. Folders with an underscore are skipped, no log line: those languages are never sent.
#
# Output seen:
#   hikari-lightbulb 3.2.6, polib 1.2.0
#   gettext: de 'ping.description' -> untranslated
#   lightbulb sends: {'en-US': 'Answer at once', 'de': '', 'fr': 'an old text'}
#   folder pt_BR: not sent, log lines 0
#   default language without a translation: description ''
#
# Why it matters: the day a developer adds a command, every language's file has an empty entry for it; the next start of
# a bot with translations fails in the command sync, for all commands and in all guilds, until the last translator is
# done.
#
# Do instead: a provider of your own (any callable from key to translations) that drops empty and fuzzy entries and maps
# `pt_BR` to `pt-BR`; or pass .mo files made by msgfmt, which leaves both kinds out, in folders named as Discord does.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    hikari==2.6.0 hikari-lightbulb==3.2.6 polib==1.2.0

cat >"$folder/try.py" <<'PY'
import asyncio
import importlib.metadata
import logging
import pathlib
import sys

import hikari
import lightbulb
import polib

HEADER = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
COMMAND = 'msgid "ping.name"\nmsgstr "ping"\n\n'
DESCRIPTIONS = {
    "en-US": 'msgid "ping.description"\nmsgstr "Answer at once"\n',
    "de": 'msgid "ping.description"\nmsgstr ""\n',
    "fr": '#, fuzzy\nmsgid "ping.description"\nmsgstr "an old text"\n',
    "pt_BR": 'msgid "ping.description"\nmsgstr "Responde logo"\n',
}


class Ping(lightbulb.SlashCommand, name="ping.name", description="ping.description", localize=True):
    @lightbulb.invoke
    async def invoke(self, ctx: lightbulb.Context) -> None: ...


async def main() -> None:
    versions = {name: importlib.metadata.version(name) for name in ("hikari-lightbulb", "polib")}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    logging.getLogger("lightbulb").setLevel(logging.DEBUG)

    translations = pathlib.Path(sys.argv[1])
    for language, description in DESCRIPTIONS.items():
        place = translations / language / "LC_MESSAGES"
        place.mkdir(parents=True)
        (place / "commands.po").write_text(HEADER + COMMAND + description)
    entry = polib.pofile(str(translations / "de/LC_MESSAGES/commands.po")).find("ping.description")
    untranslated = "untranslated" if not entry.translated() else "translated"
    print(f"gettext: de {entry.msgid!r} -> {untranslated}")

    provider = lightbulb.GnuLocalizationProvider("commands.po", directory=str(translations))
    bot = hikari.GatewayBot("MQ.x.y", banner=None, logs=None, suppress_optimization_warning=True)
    builder = await Ping.as_command_builder(hikari.Locale.EN_US, provider)
    payload = builder.build(bot.entity_factory)
    sent = {str(locale): text for locale, text in payload["description_localizations"].items()}
    print("lightbulb sends:", {language: sent[language] for language in DESCRIPTIONS if language in sent})
    print(f"folder pt_BR: {'sent' if 'pt-BR' in sent else 'not sent'}, log lines {len(records)}")
    in_german = (await Ping.as_command_builder(hikari.Locale.DE, provider)).build(bot.entity_factory)
    print(f"default language without a translation: description {in_german['description']!r}")

    expected = {"en-US": "Answer at once", "de": "", "fr": "an old text"}
    if sent != expected or in_german["description"] != "" or records or entry.translated():
        raise SystemExit("not as stated any more")


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder/translations"
