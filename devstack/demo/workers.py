"""slipway's two workers as processes of the local stack, each with no more than it needs."""

import asyncio
import functools
import os
import sys
import time
from dataclasses import replace
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
READY_SECONDS = 60.0


def start(stack: Stack, queue: str) -> None:
    """Start both workers anew (their code may have changed) and wait until both poll."""
    processes = _processes(stack)
    for role in ROLES:
        processes.stop(_name(queue, role))
    for role in ROLES:
        processes.start(_scraped(stack, spec(stack, queue, role)))
    for role in ROLES:
        check = functools.partial(_missing, stack, queue, role)
        processes.wait_ready(_name(queue, role), check, READY_SECONDS)


def wait_polled(stack: Stack, queue: str) -> None:
    """Wait until workers started by somebody else poll both queues. Raises StackError."""
    deadline = time.monotonic() + READY_SECONDS
    for role in ROLES:
        while (missing := _missing(stack, queue, role)) is not None:
            if time.monotonic() > deadline:
                raise StackError(f"{missing} after {READY_SECONDS:.0f} s; see the workers' logs.")
            time.sleep(0.2)


def stop(stack: Stack, queue: str) -> None:
    """Stop both workers."""
    for role in ROLES:
        prometheus.forget_worker(Path(stack.run_dir), _name(queue, role))
        _processes(stack).stop(_name(queue, role))


def _scraped(stack: Stack, worker: Spec) -> Spec:
    """Let a worker serve metrics at a free port, and Prometheus know of it."""
    metrics = f"{HOST}:{ports.choose(['metrics'], {})['metrics']}"
    prometheus.scrape_worker(Path(stack.run_dir), worker.name, metrics)
    return replace(worker, env={**worker.env, "SLIPWAY_METRICS": metrics})


def _processes(stack: Stack) -> Processes:
    return Processes(Path(stack.run_dir))


def _name(queue: str, role: str) -> str:
    return f"worker-{queue}-{role}"


def spec(stack: Stack, queue: str, role: str) -> Spec:
    """Return how a worker of a role is started."""
    everything = stack.environment() | worker_environment(stack)
    if role == "workflow":  # no production credential
        everything = {
            name: value
            for name, value in everything.items()
            if name.startswith(("TEMPORAL_", "SLIPWAY_"))
        }
    else:
        everything["PATH"] = f"{everything['PATH']}:{_system_path()}"
    return Spec(
        name=_name(queue, role),
        argv=(sys.executable, "-m", "worker", "--role", role),
        env={**everything, "SLIPWAY_TASK_QUEUE": queue, "PYTHONPATH": str(CHECKOUT)},
        cwd=CHECKOUT,
        grace_seconds=40,
    )


def _system_path() -> str:
    return os.environ.get("PATH", "/usr/bin:/bin")


def _missing(stack: Stack, queue: str, role: str) -> str | None:
    name = queue if role == "workflow" else f"{queue}-privileged"
    kind = (
        TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
        if role == "workflow"
        else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    )
    polled = asyncio.run(_polled(stack, name, kind))
    return None if polled else f"nobody polls {name}"


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
