"""Calls the `slipway` command as a person would: as a process, with the stack's environment."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.layout import CHECKOUT
from devstack.stack import Stack


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the printed JSON. Raises ValueError with what was printed instead."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise ValueError(f"exit {self.code}: {self.out[-2000:]}{self.err[-2000:]}") from error


@dataclass(frozen=True)
class Cli:
    """The command line of one person's shell."""

    stack: Stack
    queue: str

    def environment(self) -> dict[str, str]:
        """Return the shell's environment: no production credential, as engineers have none."""
        wanted = {
            name: value
            for name, value in self.stack.environment().items()
            if name.startswith("TEMPORAL_")
        }
        plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**plain, **wanted, "SLIPWAY_TASK_QUEUE": self.queue, "COLUMNS": "110"}

    def run(self, *arguments: str, timeout: float = 120.0) -> Answer:
        """Run a command to its end."""
        done = subprocess.run(
            [_program(), *arguments],
            env=self.environment(),
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def follow(self, *arguments: str, to: int | None = None) -> "subprocess.Popen[bytes]":
        """Start a command whose output is seen as it comes (or goes to a file descriptor)."""
        return subprocess.Popen(
            [_program(), *arguments],
            env=self.environment(),
            cwd=CHECKOUT,
            stdout=to,
            stderr=subprocess.STDOUT if to is not None else None,
            stdin=subprocess.DEVNULL,
        )


def _program() -> str:
    return str(Path(sys.executable).with_name("slipway"))
