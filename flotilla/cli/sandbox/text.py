"""Text for a terminal: controls shown, folded, behind a bar; times in words. Pure."""

from collections.abc import Iterable

from flotilla.cli.drawing import Console, Drawn, Text
from flotilla.visible import visible_block

_BAR = "│ "
_MINUTE_S, _HOUR_S = 60, 3600
_FAST_MS = 10.0
_SHORT_S = 100


def plain(text: object) -> str:
    """Return a text with its control characters shown, other than line breaks."""
    return visible_block(str(text)).expandtabs(4)


def one_line(text: object) -> str:
    """Return a text on one line, with its control characters shown."""
    return plain(text).replace("\n", " ")


def wrapped(text: object, width: int, style: str = "") -> list[Drawn]:
    """Return a text folded into lines of at most `width` cells; none for an empty one."""
    given = text if isinstance(text, Drawn) else Text.block(plain(text), style)
    if not given.plain:
        return []
    width = max(1, width)
    console = Console(width=width)
    lines: list[Drawn] = []
    for part in given.split("\n", allow_blank=True):
        lines += part.wrap(console, width, overflow="fold") if part.plain else [part]
    for line in lines:
        line.rstrip()
    return lines


def barred(lines: Iterable[Drawn], style: str = "dim") -> list[Drawn]:
    """Return lines behind a bar, as Discord shows embeds and containers."""
    return [Text.assemble((_BAR, style), line) for line in lines]


def packed(pieces: Iterable[Drawn], width: int, gap: str = "   ") -> list[Drawn]:
    """Return pieces side by side, on as few lines of `width` cells as will do."""
    lines: list[Drawn] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(gap) + piece.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], gap, piece)
        else:
            lines.append(piece)
    return lines


def duration(seconds: float) -> str:
    """Return a duration as it is typed: 60 is `1m`, 5400 is `1.5h`."""
    for unit, length_s in (("h", _HOUR_S), ("m", _MINUTE_S)):
        if seconds >= length_s and seconds * 10 % length_s == 0:
            return f"{seconds / length_s:g}{unit}"
    return f"{seconds:.3g}s" if seconds < _SHORT_S else f"{seconds:.0f}s"


def remaining(seconds: float) -> str:
    """Return how long something still goes on, in its two largest units."""
    whole = int(seconds)
    if whole >= _HOUR_S:
        return f"{whole // _HOUR_S}h {whole % _HOUR_S // _MINUTE_S}m"
    return f"{whole // _MINUTE_S}m {whole % _MINUTE_S}s" if whole >= _MINUTE_S else f"{whole}s"


def milliseconds(value: float) -> str:
    """Return a time in milliseconds; with a decimal where it tells something."""
    return f"{value:.1f} ms" if value < _FAST_MS else f"{value:.0f} ms"
