"""The files at the root that the command line and newcomers rely on."""

import configparser
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from flotilla.cli.app import app
from flotilla.launch.layout import PROGRAMS, ROOT, SUPERVISORD_CONF

TARGETS = ("demo", "up", "test", "check", "fix", "bench", "help", "setup", "deps-system", "clean")


@pytest.fixture(scope="module")
def conf() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(SUPERVISORD_CONF.read_text())
    return parser


def test_make_help_lists_every_public_target() -> None:
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    for target in TARGETS:
        assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE), target


def test_ci_runs_the_documented_test_command() -> None:
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111
    assert "exec make test" in run.read_text()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_supervisord_runs_the_five_programs_and_the_greeting(conf: configparser.RawConfigParser) -> None:
    programs = {section.partition(":")[2] for section in conf.sections() if section.startswith("program:")}
    assert programs == {"valkey", "sandbox", "welcome", *PROGRAMS}


def test_no_command_holds_a_path_that_would_need_quoting(conf: configparser.RawConfigParser) -> None:
    for section in conf.sections():
        if section.startswith("program:"):
            assert "HOME" not in conf[section]["command"]
            paths = [word for word in conf[section]["command"].split() if "/" in word]
            assert all(re.fullmatch(r"\.\./[a-z.]+", path) for path in paths), paths


def test_restarting_our_supervisor_signals_no_bot(conf: configparser.RawConfigParser) -> None:
    assert conf["program:supervisor"]["stopasgroup"] == "false"
    assert conf["program:supervisor"]["killasgroup"] == "false"


def test_a_wrong_setting_and_nothing_else_ends_a_program_for_good(conf: configparser.RawConfigParser) -> None:
    for group in [name for name in conf.sections() if name.startswith("group:")]:
        for program in conf[group]["programs"].split(","):
            section = conf[f"program:{program}"]
            assert section["autorestart"] == "unexpected", program
            assert section["exitcodes"] == "78", program
    for program in PROGRAMS:
        section = conf[f"program:{program}"]
        # With a start time to survive, supervisord would retry an early exit whatever its code.
        assert section["startsecs"] == "0"


def test_everything_is_down_within_ten_seconds(conf: configparser.RawConfigParser) -> None:
    groups = [conf[name]["programs"].split(",") for name in conf.sections() if name.startswith("group:")]
    longest = [max(int(conf[f"program:{program}"]["stopwaitsecs"]) for program in group) for group in groups]
    assert sum(longest) <= 10


def test_what_programs_stand_on_starts_first_and_stops_last(conf: configparser.RawConfigParser) -> None:
    assert int(conf["group:ground"]["priority"]) < int(conf["group:fleet"]["priority"])
    assert "valkey" in conf["group:ground"]["programs"]


def test_every_log_is_bounded(conf: configparser.RawConfigParser) -> None:
    for section in conf.sections():
        if section.startswith("program:") and section != "program:welcome":
            assert conf[section]["stdout_logfile_maxbytes"].endswith("MB")
            assert int(conf[section]["stdout_logfile_backups"]) <= 3


def commands_of(group: TyperGroup, name: str) -> Iterator[str]:
    for word, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands_of(command, f"{name} {word}")
        elif not command.hidden:
            yield f"{name} {word}"


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    top = typer.main.get_command(app)
    assert isinstance(top, TyperGroup)
    commands = list(commands_of(top, "flotilla"))
    assert {"flotilla up", "flotilla bots add", "flotilla sandbox guild add"} <= set(commands)
    assert [command for command in commands if not re.search(rf"`{command}( [^`]*)?`", page)] == []


def test_no_file_of_the_package_is_forgotten() -> None:
    assert Path(SUPERVISORD_CONF).is_file()
    assert (ROOT / "flotilla" / "launch" / "supervisord-requirements.txt").is_file()
