"""Makes docs/demo.svg from a real run: starts a demo in a temporary home and types the README's commands.

Run it from the project's root: `.venv/bin/python docs/record_demo.py`.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 100
PROMPT = "$ "
# What is shown as typed, what is run, and what is answered to a question.
SCENES = (
    ("flotilla bots ls", "flotilla bots ls", ""),
    ("pkill -9 -f 'flotilla: bot demo-3'; sleep 6; flotilla bots ls", "kill-worker; sleep 6; flotilla bots ls", ""),
    ("flotilla bots restart --all", "flotilla bots restart --all", "y\n"),
    (
        'kill -9 "$(head -1 var/run/supervisor.pid)"; sleep 4; flotilla bots ls',
        'kill -9 "$(head -1 $FLOTILLA_HOME/run/supervisor.pid)"; sleep 4; flotilla bots ls',
        "",
    ),
)


def main() -> None:
    """Record, render, and leave nothing running."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "var"
        environment = os.environ | {
            "FLOTILLA_HOME": str(home),
            "FLOTILLA_HTTP_PORT": "8800",
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "COLUMNS": str(COLUMNS),
            "TERM": "xterm-256color",
        }
        demo = subprocess.Popen(["flotilla", "up", "--demo"], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            shown = [(PROMPT + "make demo", "".join(_until_up(demo)))]
            time.sleep(8)  # Discord takes one session start per bot in 5 s
            for typed, command, answer in SCENES:
                kill = f"kill -9 {_session(home)}"
                shown.append((PROMPT + typed, _run(command.replace("kill-worker", kill), environment, answer)))
                time.sleep(3)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(20)
    _render([(typed, output.replace(folder + "/", "")) for typed, output in shown])


def _until_up(demo: subprocess.Popen[str]) -> list[str]:
    lines = []
    assert demo.stdout is not None
    for line in demo.stdout:
        lines.append(line)
        if "Ctrl-C stops" in line:
            break
    # The sample commands name the temporary home; the README's reader has ./var and needs no variables.
    return [re.sub(r"FLOTILLA_\w+=\S+ ", "", line) for line in lines]


def _session(home: Path) -> str:
    """Return the session id of this home's demo-3: another demo on the machine must not be hit."""
    log = str(home / "logs" / "bots" / "demo-3.log")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "fd" / "1").readlink()) == log:
                return process.name
        except OSError:
            continue
    sys.exit("demo-3 does not run")


def _run(command: str, environment: dict[str, str], answer: str) -> str:
    """Return what `command` shows on a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    received = b""
    while True:
        if select.select([master], [], [], 0.1)[0]:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                break
            if not chunk:
                break
            received += chunk
            if answer and b"[y/N]" in received:
                os.write(master, answer.encode())
                answer = ""
        elif process.poll() is not None:
            break
    process.wait()
    os.close(master)
    return _last_frames(received.decode())


def _last_frames(output: str) -> str:
    """Return the output as it stands on the screen in the end: progress lines that were overwritten are gone."""
    output = output.replace("\r\n", "\n")
    lines = [
        line.rpartition("\r")[2] if "\x1b[2K" not in line else line.rpartition("\x1b[2K")[2]
        for line in output.split("\n")
    ]
    return "\n".join(line for line in lines if re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip())


def _render(shown: list[tuple[str, str]]) -> None:
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
    for typed, output in shown:
        console.print(Text(typed, style="bold"))
        console.print(Text.from_ansi(output))
        console.print()
    (ROOT / "docs" / "demo.svg").write_text(console.export_svg(title="Flotilla"))


if __name__ == "__main__":
    main()
