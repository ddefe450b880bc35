"""What a text shows of what would steer a terminal, or deceive its reader."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.visible import visible_block, visible_line, visible_with_colours

SIGNS = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)}
"""Of Unicode's format characters, those that are seen: signs before numbers, in Arabic, Syriac and Kaithi."""
HIEROGLYPHS = {chr(code) for code in range(0x13430, 0x13440)}


def hidden(text: str) -> set[str]:
    kinds = {"Cc", "Cf", "Zl", "Zp", "Cs"}
    return {char for char in text if unicodedata.category(char) in kinds} - SIGNS - HIEROGLYPHS


@given(st.text(alphabet=st.characters()) | st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_nothing_unseen_is_left_and_what_is_seen_stays_in_its_place(text: str) -> None:
    line = visible_line(text)
    assert not hidden(line)
    assert len(line) == len(text)
    assert all(shown == given for shown, given in zip(line, text, strict=True) if shown != "\ufffd" and shown < "␀")
    assert hidden(visible_block(text)) <= {"\n", "\t"}
    assert visible_line(line) == line


def test_every_character_that_is_not_seen_is_shown() -> None:
    assert not hidden(visible_line("".join(map(chr, range(0x110000)))))


@pytest.mark.parametrize(
    ("text", "line", "block"),
    [
        ("\x1b[2J\x07\x00", "␛[2J␇␀", "␛[2J␇␀"),
        ("a\r\nb\nc\td\re", "a␍␊b␊c␉d␍e", "a\nb\nc\td␍e"),
        ("\x7f\x9b31m\x85", "␡�31m�", "␡�31m�"),
        ("admin\u202egpj.exe\u2066x\u2069", "admin�gpj.exe�x�", "admin�gpj.exe�x�"),
        ("sh\u200bop\ufeff\u00ad\u3164", "sh�op���", "sh�op���"),
        ("\ud83d half", "� half", "� half"),
        *((text, text, text) for text in ("größe 🚢️ שלום", "[red]x[/red] :skull:")),
    ],
)  # fmt: skip
def test_what_is_shown(text: str, line: str, block: str) -> None:
    assert (visible_line(text), visible_block(text)) == (line, block)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
        ("\x1b[38;5;200mx\x1b[48;2;1;2;3my\x1b[m", "\x1b[38;5;200mx\x1b[48;2;1;2;3my\x1b[m\x1b[0m"),
        ("\x1b[8mhidden\x1b[5mblinks\x1b[31;8mboth", "␛[8mhidden␛[5mblinks␛[31;8mboth"),
        ("\x1b[31", "␛[31"),
        ("\x1b]8;;http://x\x07link\x1b[2K\x1b[1A\x1b[?25l", "␛]8;;http://x␇link␛[2K␛[1A␛[?25l"),
        ("\x9b31mred\ttab", "�31mred\ttab"),
    ],
)
def test_a_log_line_keeps_colours_alone_and_ends_them(text: str, shown: str) -> None:
    assert visible_with_colours(text) == shown
