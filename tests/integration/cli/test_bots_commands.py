import base64
import json
import subprocess
import sys
from typing import Any

import pytest

from flotilla.cli.terminal import end_line, rewrite_line

TOKEN = base64.urlsafe_b64encode(b"123456789012345678").decode() + ".GAbCdE." + "x" * 38


def posted(fleet: Any, path: str) -> list[Any]:
    return [body for method, where, body in fleet.received if method == "POST" and where == path]


def test_add_sends_the_token_from_stdin(cli: Any, fleet: Any) -> None:
    result = cli("bots", "add", "alpha", "--tag", "eu", "--tag", "shop", stdin=f"{TOKEN}\n")
    assert result.code == 0
    assert posted(fleet, "/api/v1/bots") == [{"name": "alpha", "token": TOKEN, "tags": ["eu", "shop"]}]
    assert "flotilla bots show alpha" in result.out
    assert TOKEN not in result.out + result.err


def test_add_stopped_does_not_start_it(cli: Any, fleet: Any) -> None:
    result = cli("bots", "add", "alpha", "--stopped", stdin=TOKEN)
    assert posted(fleet, "/api/v1/bots")[0]["desired"] == "stopped"
    assert "flotilla bots start alpha" in result.out


@pytest.mark.parametrize("extra", [[TOKEN], ["--token", TOKEN], [f"--token={TOKEN}"], ["--tag", "eu", TOKEN]])
def test_a_token_on_the_command_line_is_refused_and_sent_nowhere(cli: Any, fleet: Any, extra: list[str]) -> None:
    result = cli("bots", "add", "alpha", *extra)
    assert result.code == 1
    assert "every user of this machine can see it" in result.err
    assert TOKEN not in result.out + result.err
    assert fleet.received == []


def test_an_unknown_option_of_add_is_a_usage_error(cli: Any, fleet: Any) -> None:
    result = cli("bots", "add", "alpha", "--tga=eu")
    assert result.code == 2
    assert "--tga" in result.err


def test_a_name_that_is_taken_is_the_apis_sentence(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    result = cli("bots", "add", "alpha", stdin=TOKEN)
    assert (result.code, result.err) == (1, "flotilla: There is a bot of that name already.\n")


def test_a_malformed_token_never_leaves_this_host(cli: Any, fleet: Any) -> None:
    result = cli("bots", "add", "alpha", stdin="hunter2-hunter2\n")
    assert result.code == 1
    assert "not a Discord bot token" in result.err
    assert "hunter2" not in result.err
    assert fleet.received == []


def test_token_gives_a_bot_its_next_token_and_waits_for_it(cli: Any, fleet: Any) -> None:
    fleet.add("alpha", state="FATAL", ready=False)
    result = cli("bots", "token", "alpha", stdin=f"{TOKEN}\n")
    assert (result.code, result.out) == (0, "alpha: ready with its new token\n")
    assert [row for row in fleet.received if row[0] == "PUT"] == [
        ("PUT", "/api/v1/bots/id-alpha/token", {"token": TOKEN})
    ]
    assert TOKEN not in result.out + result.err


def test_token_of_a_stopped_bot_starts_nothing(cli: Any, fleet: Any) -> None:
    fleet.add("alpha", state="STOPPED", desired="stopped", ready=False)
    assert "flotilla bots start alpha" in cli("bots", "token", "alpha", stdin=TOKEN).out


def test_a_token_of_another_application_never_leaves_this_host(cli: Any, fleet: Any) -> None:
    fleet.add("alpha", application_id="876543210987654321")
    result = cli("bots", "token", "alpha", stdin=TOKEN)
    assert result.code == 1
    assert "belongs to application 123456789012345678, alpha to application 876543210987654321" in result.err
    assert not [row for row in fleet.received if row[0] == "PUT"]


@pytest.mark.parametrize("extra", [[TOKEN], ["--token", TOKEN]])
def test_a_next_token_on_the_command_line_is_refused_and_sent_nowhere(cli: Any, fleet: Any, extra: list[str]) -> None:
    result = cli("bots", "token", "alpha", *extra)
    assert result.code == 1
    assert "flotilla bots token NAME < token-file" in result.err
    assert TOKEN not in result.out + result.err
    assert fleet.received == []


def test_ls_reads_every_page_and_filters(cli: Any, fleet: Any) -> None:
    fleet.page_size = 2
    for number in range(5):
        fleet.add(f"bot-{number}", tags=["eu"] if number % 2 else [])
    assert len(cli("bots", "ls").out.splitlines()) == 6
    assert [bot["name"] for bot in json.loads(cli("bots", "ls", "--json", "--tag", "eu").out)] == ["bot-1", "bot-3"]
    assert "No bot matches" in cli("bots", "ls", "--state", "fatal").out


def test_ls_of_an_empty_fleet_says_how_to_add_a_bot(cli: Any, fleet: Any) -> None:
    assert "flotilla bots add NAME" in cli("bots", "ls").out


def test_show_tells_three_windows_and_the_error_budget(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    out = cli("bots", "show", "alpha").out
    for part in ("Uptime 24 h", "Uptime 7 d", "Uptime 30 d", "99.80 % (target 99.50 %)", "4 min 19 s left"):
        assert part in out
    assert "14.5 in the last hour, 0.4 in the last 24 h" in out


def test_show_explains_why_a_bot_is_fatal(cli: Any, fleet: Any) -> None:
    fleet.add(
        "alpha", state="FATAL", ready=False, reason="token refused", reason_code="token_refused", remedy="Mend it."
    )
    out = cli("bots", "show", "alpha").out
    for part in ("token refused", "Discord does not accept this token", "Mend it."):
        assert part in out


def test_show_of_a_healthy_bot_works_too(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    assert "RUNNING" in cli("bots", "show", "alpha").out


def test_start_stop_and_restart_wait_until_it_is_so(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    fleet.add("beta")
    assert cli("bots", "stop", "alpha", "beta").out == "alpha: stopped\nbeta: stopped\n"
    assert cli("bots", "start", "alpha").out == "alpha: ready\n"
    assert cli("bots", "restart", "alpha", "alpha").out == "alpha: ready again\n"
    assert fleet.bots["id-alpha"]["generation"] == 2


def test_without_waiting_the_order_is_only_given(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    assert cli("bots", "stop", "alpha", "--no-wait").out == "Asked for stop of alpha.\n"
    assert fleet.bots["id-alpha"]["state"] == "RUNNING"


def test_a_bot_that_gives_up_is_told_with_its_remedy(cli: Any, fleet: Any) -> None:
    fleet.add("alpha", state="STOPPED", ready=False)
    fleet.fatal_on_start = "alpha"
    result = cli("bots", "start", "alpha")
    assert (result.code, result.err) == (1, "alpha: token refused. Copy a new token.\n")


def test_a_bot_that_takes_too_long_is_named(cli: Any, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flotilla.cli.bots.WAIT_S", 0.3)
    fleet.add("alpha")
    fleet.stuck = True
    result = cli("bots", "restart", "alpha")
    assert result.code == 1
    assert "not done yet: alpha" in result.err


def test_an_unknown_name_stops_the_command_before_anything_is_done(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    result = cli("bots", "stop", "alpha", "nemo")
    assert (result.code, "no bot called 'nemo'" in result.err) == (1, True)
    assert fleet.bots["id-alpha"]["state"] == "RUNNING"


def test_rm_asks_first_and_waits_until_it_is_gone(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    assert cli("bots", "rm", "alpha", stdin="n\n").code == 1
    assert "id-alpha" in fleet.bots
    assert cli("bots", "rm", "alpha", stdin="y\n").out.endswith("Removed alpha.\n")
    assert fleet.bots == {}


def test_rm_without_a_supervisor_says_who_will_do_it(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    fleet.readiness["supervisor"] = {"ok": False, "detail": "silent"}
    assert "no supervisor now" in cli("bots", "rm", "alpha", "--yes").out


def test_rm_of_a_bot_that_does_not_stop_is_a_sentence(cli: Any, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flotilla.cli.bots.REMOVE_WAIT_S", 0.3)
    fleet.add("alpha")
    fleet.stuck = True
    assert "still being stopped" in cli("bots", "rm", "alpha", "-y").err


def test_restart_of_all_shows_its_cost_asks_and_follows_the_operation(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    fleet.add("beta", state="STOPPED", ready=False)
    assert cli("bots", "restart", "--all", stdin="n\n").code == 1
    assert fleet.operations == {}
    result = cli("bots", "restart", "--all", stdin="y\n")
    assert result.code == 0
    assert "restarts 2 bots and spends at most 1 session starts; 1 are skipped" in result.out
    assert "Operation op-1 succeeded: 2/2 (2 succeeded)." in result.out


def test_restart_of_all_names_the_bots_whose_session_starts_are_short(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    fleet.short = {"from_reserve": ["alpha"], "refused": ["beta", "gamma"]}
    result = cli("bots", "restart", "--all", stdin="n\n")
    assert "1 would need session starts that are kept for people: alpha\n" in result.out
    assert "2 have no session starts left, and must wait" in result.out
    assert ": beta, gamma\n" in result.out


def test_restart_by_tag_lists_what_failed(cli: Any, fleet: Any) -> None:
    fleet.add("alpha", tags=["eu"])
    fleet.add("beta")
    fleet.operation_fails = True
    result = cli("bots", "restart", "--tag", "eu", "--yes")
    assert result.code == 1
    assert result.err == "alpha: why\n"
    assert posted(fleet, "/api/v1/operations")[1] == {"kind": "restart", "selector": {"tags": ["eu"]}}


def test_restart_of_nobody_is_no_operation(cli: Any, fleet: Any) -> None:
    assert cli("bots", "restart", "--all", "--yes").out.startswith("This restarts 0 bots")
    assert fleet.operations == {}


def test_an_operation_can_be_left_to_itself(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    assert "flotilla ops show op-1" in cli("bots", "restart", "--all", "--yes", "--no-wait").out


@pytest.mark.parametrize("arguments", [[], ["alpha", "--all"], ["--all", "--tag", "eu"]])
def test_restart_needs_to_know_which_bots(cli: Any, fleet: Any, arguments: list[str]) -> None:
    assert cli("bots", "restart", *arguments).code == 2


def test_operations_are_listed_shown_and_cancelled(cli: Any, fleet: Any) -> None:
    assert "no operations yet" in cli("ops", "ls").out
    fleet.add("alpha")
    cli("bots", "restart", "--all", "--yes", "--no-wait")
    assert "op-1" in cli("ops", "ls").out
    assert "alpha" in cli("ops", "show", "op-1").out
    assert "op-1 is cancelled" in cli("ops", "cancel", "op-1").out
    assert cli("ops", "show", "op-2").err == "flotilla: There is no operation op-2.\n"


def test_status_tells_the_fleet_and_fails_when_a_program_is_not_well(cli: Any, fleet: Any) -> None:
    fleet.add("alpha")
    result = cli("status")
    assert (result.code, result.out.splitlines()[0]) == (0, "Bots: 1 (1 RUNNING)")
    fleet.readiness["valkey"] = {"ok": False, "detail": "does not answer"}
    result = cli("status", "--json")
    assert result.code == 1
    assert json.loads(result.out)["programs"]["valkey"]["ok"] is False


def test_a_wrong_key_is_a_sentence(cli: Any, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_API_KEY", "flt_wrong")
    result = cli("bots", "ls")
    assert result.code == 1
    assert "does not accept this key" in result.err


def test_an_api_that_does_not_run_is_a_sentence(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_API_KEY", "flt_x")
    monkeypatch.setenv("FLOTILLA_URL", "http://127.0.0.1:9")
    result = cli("bots", "ls")
    assert result.code == 1
    assert "not reachable at http://127.0.0.1:9" in result.err


def test_without_a_key_a_sentence_says_so(cli: Any) -> None:
    assert "There is no API key" in cli("status").err


def test_wrong_settings_are_told_and_end_with_78(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_HTTP_PORT", "x")
    result = cli("status")
    assert result.code == 78
    assert "FLOTILLA_HTTP_PORT" in result.err


def test_a_reader_that_ends_early_causes_no_complaint(fleet: Any) -> None:
    for number in range(2000):
        fleet.add(f"bot-{number}")
    command = [sys.executable, "-m", "flotilla", "bots", "ls", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 1


def test_progress_on_a_terminal_is_one_line_rewritten(
    fleet: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    rewrite_line("1/2 …")
    end_line()
    assert capsys.readouterr().out == "\r\x1b[2K1/2 …\n"
