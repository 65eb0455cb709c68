"""Many environments on one pair of workers, and the command line run inside the test's process."""

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import shlex
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
import typer.main
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.failures import DomainFailures
from slipway import names
from slipway.messages.record import Place
from slipway.messages.requests import DeploymentRequest, DeploymentResult
from slipway.states import Phase
from starter import cli, cli_people
from starter.begin import first_memo, search_attributes
from tests.fakes.activities import activities_of
from tests.fakes.plans import small_plan, small_release
from tests.fakes.world import FakeWorld
from tests.workflow.harness import Harness
from workflows.registry import WORKFLOWS

ROOT = Path(__file__).parents[2]
QUICK = dict.fromkeys(("settle", "monitor", "final_monitor", "probe", "slice"), "100ms")
_PRINTED: ContextVar[tuple[io.StringIO, io.StringIO] | None] = ContextVar("printed", default=None)
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


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Look again and again until it is so. Raises TimeoutError when it does not become so."""
    async with asyncio.timeout(seconds):
        while True:
            if await look():
                return
            await asyncio.sleep(0.1)


def worker(
    client: Client, queue: str, world: FakeWorld, *, privileged: bool, workflows: Any = None
) -> Worker:
    """Return the worker of one role on fake activities."""
    return Worker(
        client,
        task_queue=names.privileged(queue) if privileged else queue,
        workflows=[] if privileged else workflows or WORKFLOWS,
        activities=activities_of(world, privileged=privileged),
        interceptors=[DomainFailures()],
    )


class Case(Harness):
    """One deployment of one environment, started and steered by the command line."""

    def __init__(self, hall: Hall, folder: Path, *, apart: bool = False, **changes: Any) -> None:
        timings = {**QUICK, **changes.pop("timings", {})}
        plan = small_plan(timings=timings, migrations={"watch": "100ms"}, **changes)
        super().__init__(hall.client, plan, small_release())
        self.hall = hall
        if not apart:
            self.queue = hall.queue
        self.apart = apart
        self.let_go = asyncio.Event()
        """Lets an activity go on that a situation holds in flight."""
        self.folder = folder
        self._working = contextlib.AsyncExitStack()
        self._children: list[asyncio.subprocess.Process] = []
        self.first = ""
        """An earlier deployment of the same environment."""
        hall.welcome(self.environment, self.world)
        documents = {"plan": self.plan, "release": self.release}
        self.files: dict[str, str] = {}
        for name, document in documents.items():
            path = folder / f"{self.environment}-{name}.yaml"
            data = document.model_dump(mode="json", exclude_unset=True)
            path.write_text(json.dumps(data))  # JSON is YAML, with quotes where they are needed
            self.files[name.upper()] = str(path)

    async def slipway(self, *arguments: str, process: bool = False) -> Done:
        """Run a command; one that needs a queue of its own as a process of its own."""
        if process or (self.apart and arguments[0] == "start"):
            return await self.process("-c", "from starter.cli import main; main()", *arguments)
        return await self.hall.slipway(*arguments)

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a process that belongs to this case."""
        return {
            **os.environ,
            **self.hall.environment(self.queue),
            "PYTHONPATH": str(ROOT),
        }

    async def process(self, *arguments: str) -> Done:
        """Run Python as a process of its own."""
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env=self.settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(running.communicate(), 120)
        return Done(running.returncode or 0, out.decode(), err.decode())

    async def at_a_terminal(self, *arguments: str, answer: str) -> Done:
        """Run a command whose input is a terminal, at which somebody answers."""
        person, terminal = pty.openpty()
        try:
            running = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-c", "from starter.cli import main; main()"),
                *arguments,
                cwd=ROOT,
                env=self.settings,
                stdin=terminal,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            os.write(person, f"{answer}\n".encode())
            out, err = await asyncio.wait_for(running.communicate(), 120)
        finally:
            os.close(person)
            os.close(terminal)
        return Done(running.returncode or 0, out.decode(), err.decode())

    async def works(self, *, privileged: bool, workflows: Any = None) -> None:
        """Run a worker of one role on this case's own queue."""
        one = worker(
            self.client, self.queue, self.world, privileged=privileged, workflows=workflows
        )
        await self._working.enter_async_context(one)

    async def stop_working(self) -> None:
        """End the workers of this case."""
        await self._working.aclose()

    async def start_worker(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        """Start `python -m worker` as a process and wait until it serves."""
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "worker", *arguments),
            cwd=ROOT,
            env={**self.settings, "SLIPWAY_ARTIFACTS": str(self.folder), **settings},
            stderr=asyncio.subprocess.PIPE,
        )
        self._children.append(running)
        assert running.stderr is not None
        async with asyncio.timeout(120):  # a busy machine takes its time to import everything
            while b"Serving" not in (line := await running.stderr.readline()):
                assert line, "the worker ended instead of serving"
        return running

    async def begin(self) -> None:
        """Start the deployment by the command line; on a queue of its own as that would."""
        if self.apart:
            await self.begin_by_hand()
            return
        done = await self.slipway("start", self.files["PLAN"], self.files["RELEASE"], "--json")
        assert done.code == 0, done.err
        self.newest(str(json.loads(done.out)["id"]))

    async def begin_by_hand(self, limit: timedelta | None = None) -> None:
        """Start as the command line does; `limit` is an execution timeout, which it never sets."""
        place, release = self.place, self.release.version
        await self.client.start_workflow(
            names.DEPLOYMENT_TYPE,
            DeploymentRequest(deployment=place.deployment, plan=self.plan, release=self.release),
            id=names.deployment_workflow_id(self.environment),
            task_queue=self.queue,
            memo=first_memo(place, release, Phase.PREFLIGHT),
            search_attributes=search_attributes(place, release, Phase.PREFLIGHT),
            execution_timeout=limit,
        )
        self.newest(place.deployment)

    @property
    def place(self) -> Place:
        """Where the deployment's record is kept."""
        backup = self.plan.backup
        return Place(
            bucket=backup.bucket,
            prefix=backup.prefix,
            environment=self.environment,
            deployment=self.deployment,
        )

    def newest(self, deployment: str) -> None:
        """Turn to the environment's newest run."""
        self.deployment = deployment
        self.handle = self.client.get_workflow_handle(
            names.deployment_workflow_id(self.environment), result_type=DeploymentResult
        )

    async def ended(self) -> DeploymentResult:
        """Wait for the end; nothing here needs skipped time."""
        async with asyncio.timeout(60):
            return await self.handle.result()

    async def why(self, *, process: bool = False) -> Done:
        """Ask what it waits for or why it failed."""
        return await self.slipway("why", self.deployment, process=process)

    def words(self, command: str) -> list[str]:
        """Split a printed command, its placeholders replaced as a person would replace them."""
        words = [self._replaced(one, command) for one in shlex.split(command)]
        left = [one for one in words if re.fullmatch(r"[A-Z]{2,}", one)]
        assert not left, f"placeholders nobody can replace: {left} in {command}"
        return words

    def _replaced(self, word: str, command: str) -> str:
        if word == "YOU":
            return self._person(shlex.split(command))
        return {"WHY": "because the test says so", **self.files}.get(word, word)

    def _person(self, words: list[str]) -> str:
        approvals = self.plan.approvals
        if words[1] == "approve":
            return approvals.roles[words[words.index("--role") + 1]][0]
        return approvals.confirm[words[3]][0]

    async def close(self) -> None:
        """Leave nothing running, here and on the server."""
        await self.stop_working()
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            await child.wait()
        ids = (
            names.deployment_workflow_id(self.environment),
            names.aftercare_workflow_id(self.deployment),
        )
        for one in ids:
            with contextlib.suppress(Exception):  # most have ended, or never began
                await self.client.get_workflow_handle(one).terminate("the test is over")
