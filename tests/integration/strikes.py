"""Strikes at a program that slipway runs: killed outright or frozen, at a moment of its work."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from activities.adapters import processes
from tests.integration.data_world import until

FROZEN = 0.5
"""Seconds after which a frozen program is given up, in these tests."""


@dataclass
class Strike:
    """One strike, at the first program of this name that comes to the moment."""

    program: str
    number: signal.Signals
    moment: Callable[[], object] | None = None
    """Looked at again and again while the program runs; None: before it does anything."""
    word: str = ""
    """Part of an argument that it must have."""
    struck: list[int] = field(default_factory=list)
    """Process ids."""

    def meant(self, command: Sequence[str]) -> bool:
        """Whether it is made at this command."""
        named = Path(command[0]).name == self.program
        return named and any(self.word in one for one in command)

    async def watch(self, child: Any) -> None:
        """Strike when the moment has come."""
        moment = self.moment
        assert moment is not None
        await until(lambda: child.returncode is not None or moment())
        if child.returncode is None and not self.struck:
            self.struck.append(child.pid)
            os.kill(child.pid, self.number)

    def stricken(self, command: Sequence[str]) -> list[str]:
        """The command, struck before the program begins: by itself, since it may be quick."""
        return ["/bin/sh", "-c", f'kill -{int(self.number)} $$; exec "$0" "$@"', *command]


@contextmanager
def striking(patch: pytest.MonkeyPatch, strike: Strike) -> Iterator[None]:
    """Have the strike made while the block lasts."""
    real, watching = processes._start, []
    patch.setattr(processes, "FROZEN", FROZEN)
    patch.setattr(processes, "GRACE", 0.2)

    async def start(command: Any, *more: Any) -> Any:
        meant = strike.meant(command) and not strike.struck
        if meant and strike.moment is None:
            child = await real(strike.stricken(command), *more)
            strike.struck.append(child.pid)
            return child
        child = await real(command, *more)
        if meant:
            watching.append(asyncio.create_task(strike.watch(child)))
        return child

    with patch.context() as context:
        context.setattr(processes, "_start", start)
        yield
    for one in watching:
        one.cancel()
