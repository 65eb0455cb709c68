"""Finds pnpm, or installs the pinned one into the stack's own folder; never globally."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import StackError
from devstack.locks import exclusive
from devstack.world import layout

if TYPE_CHECKING:
    from devstack.stack import Stack

PNPM = "10.34.9"
_MAJOR = PNPM.split(".")[0]


def prefix(stack: "Stack") -> Path:
    """Return the folder that holds the stack's own Node programs."""
    return layout.root(stack) / "node"


def pnpm(stack: "Stack") -> Path:
    """Return a pnpm of the pinned major version: on PATH, or in the stack's folder.

    Raises StackError when Node is missing or pnpm cannot be installed.
    """
    ours = prefix(stack) / "node_modules" / ".bin" / "pnpm"
    on_path = shutil.which("pnpm")
    for candidate in (ours, Path(on_path) if on_path else None):
        if candidate and candidate.exists() and _version(candidate).split(".")[0] == _MAJOR:
            return candidate
    with exclusive(layout.root(stack) / "node.lock"):
        if not ours.exists():
            _install(prefix(stack))
    return ours


def environment(stack: "Stack", **extra: str) -> dict[str, str]:
    """Return an environment in which `pnpm` is found and asks nobody anything."""
    found = pnpm(stack)
    return {
        **os.environ,
        "PATH": f"{found.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "CI": "true",
        "NO_COLOR": "1",
        **extra,
    }


def _version(program: Path) -> str:
    done = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip()


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise StackError("Node.js with npm is missing: install Node 20 or newer.")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", f"pnpm@{PNPM}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise StackError(f"pnpm {PNPM} cannot be installed: {done.stderr.strip()[-600:]}")
