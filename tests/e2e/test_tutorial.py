"""docs/bot-authors.md is true: its files are written, its commands are run, what it shows is what comes out."""

import asyncio
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.stack import until

PAGE = Path(__file__).parents[2] / "docs" / "bot-authors.md"
BLOCK = re.compile(r"^```(?P<kind>python|console)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"Write this to `([\w/.]+)`[^`]*(`[^`]*`[^`]*)?\Z")
COMMAND_S = 60.0

pytestmark = pytest.mark.timeout(400)


@dataclass
class Step:
    """A command of the page with what it shows, or a file."""

    command: str = ""
    shown: list[str] = field(default_factory=list)
    path: str = ""
    text: str = ""


def steps() -> Iterator[Step]:
    """Yield what the page asks for, in order."""
    page, end = PAGE.read_text(), 0
    for block in BLOCK.finditer(page):
        before, end = page[end : block.start()].strip(), block.end()
        if block["kind"] == "python":
            named = FILE.search(before)
            assert named, f"which file is it?\n{before[-200:]}"
            yield Step(path=named[1], text=block["text"])
            continue
        for part in block["text"].split("$ ")[1:]:
            command, *shown = part.splitlines()
            yield Step(command, shown)


def pattern(shown: list[str]) -> re.Pattern[str]:
    """Return what an output must look like: `…` in a line stands for anything, alone for any lines."""
    lines = [r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", r".*") + r"\s*\n" for line in shown]
    return re.compile("".join(lines))


class Terminal:
    """The reader's folder, and a fleet in another terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet: asyncio.subprocess.Process | None = None
        self.fleet_said = folder / "fleet.out"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        own = {"FLOTILLA_HOME": str(folder / "home"), "FLOTILLA_HTTP_PORT": port, "COLUMNS": "200"}
        self.environment = os.environ | own | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    async def run(self, step: Step) -> None:
        if step.path:
            path = self.folder / step.path
            path.parent.mkdir(exist_ok=True)
            path.write_text(step.text)
        elif "flotilla up" in step.command:
            await self._start(step)
        else:
            process = await asyncio.create_subprocess_shell(
                step.command,
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await asyncio.wait_for(process.communicate(), COMMAND_S)
            self._compare(step, output.decode())

    async def _start(self, step: Step) -> None:
        with self.fleet_said.open("wb") as file:
            self.fleet = await asyncio.create_subprocess_shell(
                f"exec env {step.command}", cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
        last = step.shown[-1]
        await until(lambda: last in self.fleet_said.read_text(), f"the fleet says {last!r}", 150)

    @staticmethod
    def _compare(step: Step, output: str) -> None:
        wanted = "\n".join(step.shown)
        assert pattern(step.shown).fullmatch(output), (
            f"$ {step.command}\n{output}\nis not what the page shows:\n{wanted}"
        )

    async def close(self) -> None:
        if self.fleet is not None and self.fleet.returncode is None:
            self.fleet.send_signal(signal.SIGINT)
            await asyncio.wait_for(self.fleet.wait(), 30)


@pytest.fixture
async def terminal() -> AsyncIterator[Terminal]:
    """A terminal in a folder with a short name: the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="flt-") as name:
        made = Terminal(Path(name))
        try:
            yield made
        finally:
            await made.close()


async def test_the_tutorial_for_authors_is_true(terminal: Terminal) -> None:
    found = list(steps())
    assert len(found) > 15
    for step in found:
        await terminal.run(step)


def test_what_the_page_shows_is_compared_line_by_line() -> None:
    shown = pattern(["a … ms", "…", "end"])
    assert shown.fullmatch("a 12 ms\nx\ny\nend\n")
    assert shown.fullmatch("a 1 ms  \nend\n")
    assert not shown.fullmatch("b 1 ms\nend\n")
    assert not shown.fullmatch("a 1 ms\nend\nmore\n")
    assert not pattern(["a"]).fullmatch("a\nb\n")
