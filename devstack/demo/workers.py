"""slipway's two workers as processes of the local stack, each with no more than it needs."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import ConnectConfig, RPCError, ServiceClient

from devstack import ports
from devstack.errors import StackError
from devstack.layout import CHECKOUT, HOST
from devstack.process import Processes, Spec
from devstack.servers import prometheus
from devstack.stack import Stack
from devstack.world.release import worker_environment

ROLES = ("workflow", "privileged")
READY_SECONDS = 180.0
"""Until workers serve: importing everything takes long on a busy machine."""


@dataclass(frozen=True)
class Crew:
    """The process that serves one role of a queue."""

    stack: Stack
    queue: str
    role: str
    suffix: str = ""
    programs: Path | None = None
    """Found before all others on the PATH of the privileged one."""

    @property
    def replacement(self) -> "Crew":
        """A second process for the same role, beside this one."""
        return replace(self, suffix="-replacement")

    @property
    def _name(self) -> str:
        return f"worker-{self.queue}-{self.role}{self.suffix}"

    @property
    def _processes(self) -> Processes:
        return Processes(Path(self.stack.run_dir))

    def start(self) -> None:
        """Start it, and wait until somebody polls its queue."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, and let Prometheus scrape its metrics."""
        metrics = f"{HOST}:{ports.choose(['metrics'], {})['metrics']}"
        prometheus.scrape_worker(Path(self.stack.run_dir), self._name, metrics)
        worker = self.spec()
        self._processes.start(replace(worker, env={**worker.env, "SLIPWAY_METRICS": metrics}))

    def wait(self) -> None:
        """Wait until somebody polls its queue. Raises StackError when nobody does in time."""
        self._processes.wait_ready(self._name, self.missing, READY_SECONDS)

    def stop(self) -> None:
        """Stop it: what it does may end within the worker's grace."""
        prometheus.forget_worker(Path(self.stack.run_dir), self._name)
        self._processes.stop(self._name)

    def kill(self) -> None:
        """Kill it with its children; it can put nothing in order."""
        self._processes.send(self._name, signal.SIGKILL)

    def freeze(self) -> None:
        """Let it and its children stand still until `thaw`."""
        self._processes.send(self._name, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self._processes.send(self._name, signal.SIGCONT)

    def spec(self) -> Spec:
        """Return how it is started."""
        everything = self.stack.environment() | worker_environment(self.stack)
        if self.role == "workflow":  # no production credential
            everything = {
                name: value
                for name, value in everything.items()
                if name.startswith(("TEMPORAL_", "SLIPWAY_"))
            }
        else:
            first = [str(self.programs)] if self.programs else []
            everything["PATH"] = os.pathsep.join([*first, everything["PATH"], _system_path()])
        return Spec(
            name=self._name,
            argv=(sys.executable, "-m", "worker", "--role", self.role),
            env={**everything, "SLIPWAY_TASK_QUEUE": self.queue, "PYTHONPATH": str(CHECKOUT)},
            cwd=CHECKOUT,
            grace_seconds=40,
        )

    def missing(self) -> str | None:
        """Return None while somebody polls its queue, else a sentence."""
        plain = self.role == "workflow"
        name = self.queue if plain else f"{self.queue}-privileged"
        kind = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
            if plain
            else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        )
        return None if asyncio.run(_polled(self.stack, name, kind)) else f"nobody polls {name}"


def start(stack: Stack, queue: str, *, programs: Path | None = None) -> None:
    """Start both workers anew (their code may have changed) and wait until both poll."""
    stop(stack, queue)
    crews = [Crew(stack, queue, role, programs=programs) for role in ROLES]
    for crew in crews:
        crew.launch()
    for crew in crews:
        crew.wait()


def spec(stack: Stack, queue: str, role: str) -> Spec:
    """Return how a worker of a role is started."""
    return Crew(stack, queue, role).spec()


def wait_polled(stack: Stack, queue: str, seconds: float = READY_SECONDS) -> None:
    """Wait until workers started by somebody else poll both queues. Raises StackError."""
    deadline = time.monotonic() + seconds
    for role in ROLES:
        while (missing := Crew(stack, queue, role).missing()) is not None:
            if time.monotonic() > deadline:
                raise StackError(f"{missing} after {seconds:.0f} s; see the workers' logs.")
            time.sleep(0.2)


def stop(stack: Stack, queue: str) -> None:
    """Stop both workers, and whoever stands in for them."""
    for role in ROLES:
        crew = Crew(stack, queue, role)
        crew.replacement.stop()
        crew.stop()


def _system_path() -> str:
    return os.environ.get("PATH", "/usr/bin:/bin")


async def _polled(stack: Stack, queue: str, kind: "TaskQueueType.ValueType") -> bool:
    service = await ServiceClient.connect(ConnectConfig(target_host=stack.temporal_address))
    request = DescribeTaskQueueRequest(
        namespace=stack.temporal_namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    try:
        answer = await service.workflow_service.describe_task_queue(
            request, timeout=timedelta(seconds=5)
        )
    except RPCError:
        return False
    return len(answer.pollers) > 0
