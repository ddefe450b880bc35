import base64
import io

import pytest

from flotilla.cli.faults import CommandError
from flotilla.cli.token import MAX_LINE_CHARS, read_token, refuse_argv
from flotilla.errors import FixInputError

TOKEN = base64.urlsafe_b64encode(b"123456789012345678").decode() + ".GAbCdE." + "x" * 38


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ADD = "flotilla bots add NAME"


def test_the_first_line_of_stdin_is_the_token() -> None:
    assert read_token(ADD, io.StringIO(f"  {TOKEN} \nnot this\n")) == TOKEN


def test_on_a_terminal_the_token_is_asked_for_unseen() -> None:
    asked: list[str] = []

    def prompt(question: str) -> str:
        asked.append(question)
        return TOKEN

    assert read_token(ADD, Terminal("never read"), prompt) == TOKEN
    assert asked == ["Bot token (not shown): "]


@pytest.mark.parametrize("given", ["", "\n", "   \n"])
def test_no_token_is_a_sentence(given: str) -> None:
    with pytest.raises(CommandError, match="No token was given"):
        read_token(ADD, io.StringIO(given))


@pytest.mark.parametrize("given", ["hunter2", "Bot " + TOKEN, TOKEN[:-20], "é" * 100, TOKEN + TOKEN, "y" * 10_000_000])
def test_a_malformed_token_is_refused_without_being_repeated(given: str) -> None:
    with pytest.raises(FixInputError, match="not a Discord bot token") as caught:
        read_token(ADD, io.StringIO(given))
    assert given[:40] not in caught.value.message


def test_an_endless_line_is_not_read_to_its_end() -> None:
    stream = io.StringIO("y" * 10_000_000)
    with pytest.raises(FixInputError):
        read_token(ADD, stream)
    assert stream.tell() == MAX_LINE_CHARS


def test_a_token_on_the_command_line_is_refused_with_the_reason_and_not_repeated() -> None:
    with pytest.raises(CommandError, match="every user of this machine can see it") as caught:
        refuse_argv([TOKEN], ADD)
    assert TOKEN not in caught.value.message
    refuse_argv([], ADD)
