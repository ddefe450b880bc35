"""Shows what in a text would steer a terminal or deceive its reader. For all that others wrote: bots, Discord, peers.

Each such character becomes one that can be seen: U+241B for an escape, U+FFFD for what has no picture of its own. One
for one, so that what is laid out keeps its place.
"""

import re

_PICTURES = 0x2400
_SPACE, _DELETE = 0x20, 0x7F
_PICTURE_OF_DELETE, _REPLACEMENT = "\u2421", "\ufffd"

# C1 controls; what has no width, or turns the direction of what follows; line ends that are no newline; halves of
# characters. Source: Unicode's general categories Cf, Zl, Zp, Cs and Default_Ignorable_Code_Point; U+FE0E and U+FE0F,
# which choose between emoji and text, are left.
_UNSEEN = (
    *((0x80, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5)),
    *((0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164)),
    *((0xD800, 0xDFFF), (0xFE00, 0xFE0D), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB)),
    *((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_SEEN_NOT = "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSEEN)
_NOT_IN_LINE = re.compile(f"[\x00-\x1f\x7f{_SEEN_NOT}]")
_NOT_IN_BLOCK = re.compile(f"[\x00-\x08\x0b-\x1f\x7f{_SEEN_NOT}]")

# Colours and weights, by their numbers: ECMA-48, SGR. Neither hidden text (8) nor what blinks.
_NUMBER = r"(?:[0-4]|2[2-4]|3[0-79]|4[0-79]|[34]8;5;\d{1,3}|[34]8;2;\d{1,3};\d{1,3};\d{1,3}|9[0-7]|10[0-7])"
_COLOUR = re.compile(rf"(\x1b\[(?:{_NUMBER}(?:;{_NUMBER})*)?m)")
_RESET = "\x1b[0m"


def visible_line(text: str) -> str:
    """Return a text as one line: newlines and tabs are shown as well."""
    return _NOT_IN_LINE.sub(_picture, text)


def visible_block(text: str) -> str:
    """Return a text that may have lines and tabs."""
    return _NOT_IN_BLOCK.sub(_picture, text.replace("\r\n", "\n") if "\r" in text else text)


def visible_with_colours(text: str) -> str:
    """Return a line for a terminal, with its colours and weights; they end where it ends."""
    parts = _COLOUR.split(text)
    shown = [part if number % 2 else visible_block(part) for number, part in enumerate(parts)]
    return "".join(shown) + (_RESET if len(parts) > 1 else "")


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < _SPACE:
        return chr(_PICTURES + code)
    return _PICTURE_OF_DELETE if code == _DELETE else _REPLACEMENT
