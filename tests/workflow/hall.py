"""Many environments on one pair of workers, and the command line run inside the test's process."""

import asyncio
import contextlib
import io
import re
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO

import pytest
import typer.main
from temporalio import activity
from temporalio.client import Client

from slipway import names
from starter import cli, cli_people, patience
from tests.fakes.world import FakeWorld
from tests.workflow.workers import worker

_PRINTED: ContextVar[tuple[io.StringIO, io.StringIO] | None] = ContextVar("printed", default=None)
PATIENCE = 30.0
"""Seconds that commands wait: here one worker serves many environments at once."""
_COMMAND = re.compile(r"([A-Z][a-z ]*): ((?:[A-Z_]+=\S+ )*(?:slipway|python|temporal) .+)$")


@dataclass(frozen=True)
class Done:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def commands(self) -> dict[str, str]:
        """The commands that can be pasted, by their label; the first one of each."""
        found: dict[str, str] = {}
        for line in (self.out or self.err).splitlines():
            if said := _COMMAND.search(line):
                found.setdefault(said[1].strip(), said[2])
        return found


class _Routed(io.TextIOBase):
    """Writes to whoever runs a command in this context, else where it was written to before."""

    def __init__(self, usual: TextIO, number: int) -> None:
        self._usual, self._number = usual, number

    def write(self, text: str) -> int:
        printed = _PRINTED.get()
        return (printed[self._number] if printed else self._usual).write(text)

    def flush(self) -> None:
        if _PRINTED.get() is None:
            self._usual.flush()


@contextlib.contextmanager
def command_line(environment: dict[str, str]) -> Iterator[None]:
    """Let `slipway` run in this process, several at once, nobody at a terminal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", _Routed(sys.stdout, 0))
        patch.setattr(sys, "stderr", _Routed(sys.stderr, 1))
        patch.setattr(sys, "stdin", io.StringIO())
        for name, value in environment.items():
            patch.setenv(name, value)
        for name in ("CONNECT", "ANSWER", "REPLY"):
            patch.setattr(patience, name, PATIENCE)
        yield


class OneOfMany(FakeWorld):
    """The world of whichever environment the activity in hand belongs to."""

    def __init__(self, worlds: dict[str, FakeWorld], others: FakeWorld) -> None:
        object.__setattr__(self, "_worlds", worlds)
        object.__setattr__(self, "_others", others)

    def __getattribute__(self, name: str) -> Any:
        worlds: dict[str, FakeWorld] = object.__getattribute__(self, "_worlds")
        others: FakeWorld = object.__getattribute__(self, "_others")
        return getattr(worlds.get(_environment(), others), name)

    def __setattr__(self, name: str, value: Any) -> None:
        worlds: dict[str, FakeWorld] = object.__getattribute__(self, "_worlds")
        setattr(worlds[_environment()], name, value)


def _environment() -> str:
    workflow = activity.info().workflow_id or ""
    kind, _, name = workflow.partition("-")
    return names.environment_of(name) if kind == "aftercare" else name


class Hall:
    """One queue with both workers, and every environment that lives on it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"slipway-hall-{uuid.uuid4().hex[:8]}"
        self.shared = FakeWorld()
        self._worlds: dict[str, FakeWorld] = {}
        self._app: Any = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Hall"]:
        """Run both workers; the command line finds their queue."""
        world = OneOfMany(self._worlds, self.shared)
        with command_line(self.environment(self.queue)):
            async with (
                worker(self.client, self.queue, world, privileged=False),
                worker(self.client, self.queue, world, privileged=True),
            ):
                yield self

    def environment(self, queue: str) -> dict[str, str]:
        """Return the settings of a command or a worker process."""
        return {
            "TEMPORAL_ADDRESS": self.client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": self.client.namespace,
            "SLIPWAY_TASK_QUEUE": queue,
        }

    def welcome(self, environment: str, world: FakeWorld) -> None:
        """Give an environment its world; bucket and record are everybody's."""
        world.entries = self.shared.entries
        world.artefacts, world.kept = self.shared.artefacts, self.shared.kept
        self._worlds[environment] = world

    async def slipway(self, *arguments: str) -> Done:
        """Run a command in this process."""
        if self._app is None:
            cli_people.register(cli.app)
            self._app = typer.main.get_command(cli.app)
        return await asyncio.to_thread(self._run, arguments)

    def _run(self, arguments: tuple[str, ...]) -> Done:
        out, err = io.StringIO(), io.StringIO()
        _PRINTED.set((out, err))
        code: Any = 0
        try:
            self._app.main(args=list(arguments), prog_name="slipway")
        except SystemExit as end:
            code = end.code or 0
        return Done(int(code), out.getvalue(), err.getvalue())


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 300) -> None:
    """Look again and again until it is so. Raises TimeoutError when it does not become so."""
    async with asyncio.timeout(seconds):
        while True:
            if await look():
                return
            await asyncio.sleep(0.1)
