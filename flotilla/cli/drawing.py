"""Rich, as the command line uses it: colours and tables are ours, texts are texts. Slow to load.

Markup and emoji codes in a text mean nothing, and what would steer a terminal is seen, before anything is laid out.
"""

from collections.abc import Iterable
from typing import Any, Self

import rich.console
import rich.text
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.table import Table

from flotilla.visible import visible_block, visible_line

__all__ = ["Console", "Drawn", "RenderableType", "Table", "Text"]


Drawn = rich.text.Text
"""What texts become when they are joined or cut."""


class Text(rich.text.Text):
    """A text in a style: one line, whatever is in it, unless it is made by `block`."""

    def __init__(self, text: str = "", style: str | Style = "", **options: Any) -> None:  # noqa: ANN401 - Rich's own
        super().__init__(visible_line(text), style, **options)

    @classmethod
    def block(cls, text: str, style: str | Style = "", **options: Any) -> Self:  # noqa: ANN401 - Rich's own
        """Return a text that may have lines and tabs."""
        made = cls("", style, **options)
        rich.text.Text.append(made, visible_block(text))
        return made

    @classmethod
    def lines(cls, lines: Iterable[str], style: str | Style = "") -> Self:
        """Return a text of lines; none of them has another in it."""
        return cls.block("\n".join(map(visible_line, lines)), style)

    def append(self, text: rich.text.Text | str, style: str | Style | None = None) -> Self:
        """Append a text; a string is one line."""
        super().append(visible_line(text) if isinstance(text, str) else text, style)
        return self


class Console(rich.console.Console):
    """Prints strings as one line each, and whatever else there is with nothing that steers."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:  # noqa: ANN401 - its many options pass through
        """Return a string as a text of one line."""
        return super().render_str(visible_line(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is drawn."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else visible_block(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)
