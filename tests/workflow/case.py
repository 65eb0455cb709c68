"""One deployment of one environment in the hall, started and steered by the command line."""

import asyncio
import contextlib
import json
import os
import pty
import re
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from slipway import names
from slipway.messages.record import Place
from slipway.messages.requests import DeploymentRequest, DeploymentResult
from slipway.states import Phase
from starter.begin import first_memo, search_attributes
from tests.fakes.plans import small_plan, small_release
from tests.workflow.hall import Done, Hall
from tests.workflow.harness import Harness
from tests.workflow.patient_cli import PATIENT
from tests.workflow.waiting import PATIENCE
from tests.workflow.workers import worker

ROOT = Path(__file__).parents[2]
QUICK = dict.fromkeys(("settle", "monitor", "final_monitor", "probe", "slice"), "100ms")


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
        out, err = await asyncio.wait_for(running.communicate(), PATIENCE)
        return Done(running.returncode or 0, out.decode(), err.decode())

    async def at_a_terminal(self, *arguments: str, answer: str) -> Done:
        """Run a command whose input is a terminal, at which somebody answers."""
        person, terminal = pty.openpty()
        try:
            running = await asyncio.create_subprocess_exec(
                sys.executable,
                *PATIENT,
                *arguments,
                cwd=ROOT,
                env=self.settings,
                stdin=terminal,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            os.write(person, f"{answer}\n".encode())
            out, err = await asyncio.wait_for(running.communicate(), PATIENCE)
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
        """End the workers of this case; others may begin."""
        working, self._working = self._working, contextlib.AsyncExitStack()
        await working.aclose()

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
        async with asyncio.timeout(PATIENCE):  # a busy machine takes long to import everything
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
        async with asyncio.timeout(PATIENCE):
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
