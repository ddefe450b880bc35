"""`flotilla sandbox …` against a real sandbox with a real bot on its gateway."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.cli.sandbox_bot import Bot, running_sandbox


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str]]:
    with running_sandbox() as url_and_key:
        yield url_and_key


@pytest.fixture(scope="module")
def sandbox(served: tuple[str, str]) -> str:
    return served[0]


@pytest.fixture(scope="module")
def key(served: tuple[str, str]) -> str:
    return served[1]


@pytest.fixture(scope="module")
def bot(sandbox: str, key: str) -> Iterator[Bot]:
    with Bot(sandbox, key, "alpha") as bot:
        yield bot


@pytest.fixture(autouse=True)
def settings(home: Path, sandbox: str, key: str, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings lead to the sandbox, where the bot is."""
    monkeypatch.setenv("FLOTILLA_DISCORD_URL", f"{sandbox}/api/v10")
    monkeypatch.setenv("FLOTILLA_SANDBOX_KEY", key)


@pytest.fixture
def run(cli: Any) -> Any:
    """Run a command that is to succeed; return what it prints."""

    def run(*arguments: str) -> str:
        result = cli("sandbox", *arguments)
        assert result.code == 0, result.err + result.out
        return str(result.out)

    return run


@pytest.fixture
def refused(cli: Any) -> Any:
    """Run a command that is to be refused; return the sentence."""

    def refused(*arguments: str, code: int = 1) -> str:
        result = cli("sandbox", *arguments)
        assert (result.code, result.out) == (code, "")
        return str(result.err)

    return refused


# Users act


def test_a_command_shows_the_answer_and_its_time(run: Any) -> None:
    lines = run("use", "alpha", "/ping").splitlines()
    assert re.fullmatch(r"alpha answered after \d+(\.\d)? ms", lines[0])
    assert lines[1] == "↳ for sandbox-owner"
    assert re.fullmatch(r"alpha BOT  \d\d:\d\d:\d\d  \d{15,20}", lines[2])
    assert lines[3].startswith("  pong to sandbox-owner ")


def test_a_name_is_the_same_person_each_time_and_another_for_another_name(run: Any) -> None:
    def who(name: str) -> str:
        shown = run("use", "alpha", "ping", "--user", name, "--locale", "id")
        found = re.search(rf"pong to {name} (\d+) in id", shown)
        assert found is not None, shown
        return found[1]

    ann = who("ann")
    assert ann == who("ann") != who("ben")
    assert f"pong to ann {ann} in en-US" in run("use", "alpha", "ping", "--user", ann, "--dm")


def test_option_values_have_the_types_of_the_command(run: Any, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("apples")
    told = ("-o", "item=green apple", "-o", "count=3", "-o", "sold=true", "-o", "price=1.5")
    shown = run("use", "alpha", "/stock show", *told, "-o", f"list@{tmp_path / 'list.txt'}")
    values = json.loads(shown.splitlines()[-1])
    assert values.pop("list").isdecimal()
    assert values == {"item": "green apple", "count": 3, "sold": True, "price": 1.5}
    assert '{"item": "5"}' in run("use", "alpha", "/stock show", "-o", 'item:="5"')


def test_text_that_looks_like_a_number_is_refused_with_how_to_write_it(refused: Any) -> None:
    assert "If it takes text, write item:='\"…\"'." in refused("use", "alpha", "/stock show", "-o", "item=5")


def test_a_message_is_shown_with_its_embed_buttons_and_menu_and_they_are_used(run: Any) -> None:
    shown = run("use", "alpha", "/panel")
    for line in (
        "  Choose.",
        "  │ Stock",
        "  │ Apples  12",
        "  [ Go ] go   [ Docs ] https://example.com/docs   [ Never ] never (disabled)",
        "  [ Which fruit? ▾ ] fruit: apple (Apple), pear (1 to 2)",
    ):
        assert line in shown.splitlines()
    message_id = shown.splitlines()[2].split()[-1]
    assert "alpha changed the message after" in run("press", "alpha", message_id, "go")
    assert "  fruit apple pear\n" in run("pick", "alpha", "last", "fruit", "apple", "pear")


def test_a_message_is_found_in_whichever_channel_it_is(run: Any) -> None:
    run("guild", "add", "Far", "--bot", "alpha", "--channels", "first,second")
    shown = run("use", "alpha", "/panel", "--channel", "Far/second")
    message_id = shown.splitlines()[2].split()[-1]
    assert "changed the message" in run("press", "alpha", message_id, "go")
    assert "changed the message" in run("press", "alpha", "last", "go", "--channel", "#second")


def test_an_ephemeral_message_says_so_and_is_pressed_by_its_id(run: Any) -> None:
    shown = run("use", "alpha", "/secret")
    header = shown.splitlines()[2]
    assert header.endswith("  (ephemeral: only who asked sees it)")
    assert "alpha changed the message" in run("press", "alpha", header.split()[3], "go")


def test_components_of_the_second_version_are_shown(run: Any) -> None:
    lines = run("use", "alpha", "/weather").splitlines()[3:]
    assert lines == [
        "  │ # Weather",
        "  │ Sunny",
        "  │ [ Go ] go",
        "  │ ────────────────────────",
        "  │ image https://example.com/a.png",
    ]


def test_a_form_is_shown_and_submitted(run: Any, refused: Any) -> None:
    shown = run("use", "alpha", "/form")
    assert "alpha opened a form after" in shown
    assert "  name  Name  (required, 0 to 40 characters)\n  why  Why  (optional)\n" in shown
    interaction = re.search(r"flotilla sandbox submit alpha (\d+) --field NAME=VALUE", shown)
    assert interaction is not None
    assert "  Thanks, Ann.\n" in run("submit", "alpha", interaction[1], "--field", "name=Ann")
    assert "'name' is required" in refused("submit", "alpha", interaction[1])


def test_a_deferred_answer_is_awaited_with_what_follows(run: Any) -> None:
    shown = run("use", "alpha", "/slow")
    assert ", then answered\n" in shown
    assert "  done at last\n" in shown
    interaction = json.loads(run("use", "alpha", "/slow", "--json"))
    assert (interaction["status"], interaction["message"]["content"]) == ("deferred", "done at last")
    assert "  done at last\n" in run("answer", "alpha", interaction["interaction_id"])


def test_a_deferred_answer_that_does_not_come_is_told_unless_nobody_waits(run: Any, refused: Any) -> None:
    assert "has not answered yet. Look again with: flotilla sandbox answer alpha " in refused(
        "use", "alpha", "/thinking", "--wait", "300ms"
    )
    assert "  … is thinking\n" in run("use", "alpha", "/thinking", "--wait", "0")


def test_a_bot_that_stays_silent_ends_with_1(cli: Any, refused: Any) -> None:
    assert "alpha did not answer within 3" in refused("use", "alpha", "/silent")
    result = cli("sandbox", "use", "alpha", "/silent", "--json")
    assert (result.code, json.loads(result.out)["status"]) == (1, "timed_out")


def test_typing_shows_the_choices(run: Any, refused: Any) -> None:
    lines = run("complete", "alpha", "/find", "-o", "q=a").splitlines()
    assert lines[0].startswith("alpha offered 2 choices after ")
    assert lines[1:] == ["  Apple pie  pie", "  Apple      apple"]
    assert "Say what is typed" in refused("complete", "alpha", "/find", code=2)
    assert "has no autocomplete" in refused("complete", "alpha", "/stock show", "-o", "item=a")


def test_context_menu_commands_take_a_user_or_a_message(run: Any) -> None:
    written = json.loads(run("say", "alpha", "bad", "--user", "eve", "--json"))[0]
    assert f"reported {written['id']}" in run("use", "alpha", "Report", "--on-message", written["id"])
    assert f"it is {written['author']['id']}" in run("use", "alpha", "Who", "--on-user", "eve")


def test_what_a_bot_writes_cannot_steer_the_terminal(run: Any) -> None:
    shown = run("use", "alpha", "/rude")
    assert "␛[2J␇bell" in shown
    assert "\x1b" not in shown


def test_users_write_and_what_bots_reply_is_shown(run: Any) -> None:
    lines = run("say", "alpha", "hello", "--user", "ann", "--wait", "5s").splitlines()
    assert lines[0].startswith("ann  ")
    assert lines[1:4] == ["  hello", "", "↳ to ann: hello"]
    assert lines[5] == "  you said hello"
    read = run("read", "alpha", "-n", "2").splitlines()
    assert read == lines


def test_a_private_message_is_answered_and_its_channel_told(run: Any) -> None:
    shown = run("dm", "alpha", "psst", "--user", "ann")
    assert "  you said psst\n" in shown
    channel = re.search(r"The private channel is (\d+)\.", shown)
    assert channel is not None
    assert "  psst\n" in run("read", channel[1])


# What there is


def test_applications_are_listed_shown_and_added_without_their_token(run: Any, bot: Bot) -> None:
    header, *rows = run("apps").splitlines()
    columns = ["NAME", "ID", "SESSIONS", "RESUMABLE", "IDENTIFIES", "RESUMES", "LEFT", "GUILDS", "COMMANDS"]
    assert header.split() == columns
    row = next(row.split() for row in rows if row.startswith("alpha"))
    assert row[:7] == ["alpha", bot.id, "1", "0", "1", "0", "999"]
    assert "/ping" in run("app", "show", bot.id)
    assert run("app", "add", "alpha") == f"{bot.id}\n"
    assert run("app", "add", "alpha", "--show-token") == f"{bot.id}\n{bot.token}\n"
    assert json.loads(run("app", "add", "alpha", "--json")) == {
        "id": bot.id,
        "name": "alpha",
        "commands_registered": 14,
    }


def test_guilds_and_channels_are_made_and_listed(run: Any) -> None:
    made = run("guild", "add", "Two", "--bot", "alpha", "--members", "3", "--channels", "a, #b", "--count", "2")
    rows = [line.split(maxsplit=3) for line in made.splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [("Two", "5"), ("Two", "5")]
    assert rows[0][3].split() == ["#a,", "#b", "alpha"]
    assert rows[1][1] in run("guilds")
    assert [line.split()[0::2] for line in run("channels", rows[0][1]).splitlines()[1:]] == [
        ["#a", "text"],
        ["#b", "text"],
    ]


def test_a_name_that_says_too_little_is_refused_with_what_there_is(run: Any, refused: Any) -> None:
    run("guild", "add", "Twin", "--count", "2")
    assert "'Twin' is the name of 2 guilds; say which by its id: " in refused("channels", "Twin")
    assert "'general' is the name of " in refused("say", "general", "x")
    assert "No guild is called 'Nowhere' here; there are: " in refused("channels", "Nowhere")
    assert "No channel is called 'alpha/x' there; there are: #general." in refused("say", "alpha/x", "x")
    assert "No bot is called 'omega' here; there are alpha" in refused("use", "omega", "/ping")


def test_a_bot_that_is_not_connected_is_told(run: Any, refused: Any, sandbox: str, key: str) -> None:
    run("app", "add", "asleep")
    assert "asleep is not connected." in refused("use", "asleep", "/ping")
    with Bot(sandbox, key, "brief"):
        assert "brief answered" in run("use", "brief", "/ping")
    assert "brief is not connected to this sandbox" in refused("use", "brief", "/ping")


def test_unknown_requests_are_listed(run: Any, bot: Bot) -> None:
    assert run("unknown") == "Every request was for a route that the sandbox has.\n"
    httpx.get(f"{bot.api}/voice/regions", headers={"Authorization": f"Bot {bot.token}"})
    assert run("unknown").splitlines()[1].split()[1:] == ["404", "GET", "/api/v10/voice/regions"]


# Trouble


def test_faults_are_asked_for_listed_and_ended(run: Any, refused: Any) -> None:
    assert run("faults") == "All is calm. Ask for trouble with: flotilla sandbox fault KIND\n"
    wanted = ("-p", "status=503", "-p", "route=POST /webhooks/", "--bot", "alpha", "--for", "1m", "--seed", "7")
    shown = run("fault", "rest_error", *wanted, "--probability", "0.5")
    assert "route='POST /webhooks/' status=503 --for 1m --probability 0.5 --seed 7" in shown
    fault_id = shown.splitlines()[-1].rpartition(" ")[2]
    run("fault", "drop", "--after", "1h", "--every", "10s", "--bot", "alpha")
    rows = [line.split() for line in run("faults").splitlines()[1:]]
    assert [row[1:3] for row in rows] == [["rest_error", "active"], ["drop", "scheduled"]]
    assert run("calm", fault_id).splitlines()[1].split()[:3] == [fault_id, "rest_error", "over"]
    assert "No fault 999" in refused("calm", "999")
    assert "drop" in run("calm")
    assert run("calm") == "All was calm already.\n"


def test_kinds_of_faults_are_listed_with_their_fields(run: Any, refused: Any) -> None:
    shown = run("fault", "--kinds")
    for part in ("rest_latency", "ms (required)", "status=500|502|503|504", "close*", "code=4000", "resumable=false"):
        assert part in shown
    assert "Say which kind" in refused("fault", code=2)
    assert "There is no kind 'flood'; there are rest_latency" in refused("fault", "flood")


def test_a_fault_strikes_the_bots_answer(run: Any, refused: Any) -> None:
    run("fault", "rest_latency", "-p", "ms=10000", "-p", "route=POST /interactions/", "--bot", "alpha")
    try:
        assert "alpha did not answer" in refused("use", "alpha", "/ping")
    finally:
        run("calm")


def test_limits_are_turned_off_and_on(run: Any, refused: Any) -> None:
    assert re.search(r"^routes +off ", run("limits", "--off", "routes", "--off", "hidden"), re.MULTILINE)
    shown = run("limits", "--on", "routes", "--on", "hidden")
    assert re.search(r"^hidden +on ", shown, re.MULTILINE)
    assert "10000 in 10m, then banned for 1h" in shown
    assert "There is no limit 'x'" in refused("limits", "--off", "x", code=2)


def test_addresses_are_listed_with_the_bots_that_sent_invalid_requests(run: Any, bot: Bot) -> None:
    assert run("addresses") == "No address has sent an invalid request lately.\n"
    httpx.get(f"{bot.api}/users/@me", headers={"Authorization": "Bot wrong"})
    assert run("addresses").splitlines()[1].split(maxsplit=4) == ["127.0.0.1", "1", "10000", "-", "unknown: 1 with 401"]


def test_the_clock_is_moved_ahead(run: Any, refused: Any) -> None:
    before = json.loads(run("clock", "--advance", "0", "--json"))["now"]
    after = json.loads(run("clock", "--advance", "2s", "--json"))["now"]
    assert after > before
    assert "is no duration" in refused("clock", "--advance", "soon", code=2)


# Where it is


def test_the_sandbox_is_found_by_url_by_port_and_by_the_demos_home(
    run: Any, sandbox: str, key: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOTILLA_DISCORD_URL")
    port = sandbox.rpartition(":")[2]
    for url in (sandbox, f"{sandbox}/api/v10", f"localhost:{port}", port):
        assert "alpha" in run("apps", "--url", url)
    (home / "run").mkdir(parents=True)
    (home / "run" / "sandbox.port").write_text(f"{port}\n")
    (home / "sandbox.key").write_text(f"{key}\n")
    monkeypatch.delenv("FLOTILLA_SANDBOX_KEY")
    assert "alpha" in run("apps")


def test_a_key_that_is_missing_or_wrong_is_told_with_where_the_right_one_is(
    refused: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_SANDBOX_KEY", "wrong")
    assert "does not accept the key in FLOTILLA_SANDBOX_KEY. The sandbox printed it" in refused("apps")
    monkeypatch.delenv("FLOTILLA_SANDBOX_KEY")
    told = refused("apps")
    assert f"FLOTILLA_SANDBOX_KEY is not set, and {home} has no sandbox.key" in told
    assert "The sandbox printed it when it started." in told
    home.mkdir()
    (home / "sandbox.key").write_text("of another sandbox\n")
    assert f"does not accept the key in {home / 'sandbox.key'}." in refused("apps")


def test_no_sandbox_is_told_with_how_to_start_one(refused: Any, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert "No sandbox answers at http://127.0.0.1:9. Start one with `make demo`" in refused("apps", "--url", "9")
    monkeypatch.delenv("FLOTILLA_DISCORD_URL")
    told = refused("apps")
    assert f"no demo has run in {home}" in told
    assert "python -m sandbox --port 9900" in told


@pytest.mark.parametrize(
    "url", ["https://discord.com/api/v10", "http://10.0.0.1:9900", "http://127.0.0.1@example.com", "//", "sandbox:9900"]
)
def test_nothing_is_ever_sent_off_this_machine(refused: Any, url: str) -> None:
    assert f"{url} is not on this machine." in refused("apps", "--url", url)


def test_a_discord_that_is_not_local_is_never_asked(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_DISCORD_URL", "https://discord.com/api/v10")
    assert "FLOTILLA_DISCORD_URL does not lead to this machine" in refused("apps")


# Load


def test_a_load_on_a_real_bot_tells_how_fast_it_answered(run: Any) -> None:
    body = json.loads(run("load", "--command", "/ping", "--users", "4", "--rate", "10", "--seconds", "0.5", "--json"))
    assert (body["state"], body["sent"], body["answered"], body["timed_out"]) == ("done", 20, 20, 0)
    assert 0 < body["elapsed_ms"]["p50"] <= body["elapsed_ms"]["max"]
    assert body["id"] in [row["id"] for row in json.loads(run("loads", "--json"))]
