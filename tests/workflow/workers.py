"""The workers of tests: slipway's workflows on fake activities."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.around import Around
from activities.failures import translating
from activities.heartbeat import beating
from slipway import names
from tests.fakes.activities import activities_of
from tests.fakes.world import FakeWorld
from workflows.registry import WORKFLOWS


class PreparedOnce(SandboxedWorkflowRunner):
    """Tries each workflow in the sandbox once a process instead of once a worker: tests start
    hundreds of workers, and each would spend 0.3 s of CPU on it."""

    _prepared: ClassVar[set[type]] = set()

    # The SDK names the type only so.
    def prepare_workflow(self, defn: workflow._Definition) -> None:
        """Prepare what this process has not prepared yet."""
        if defn.cls not in self._prepared:
            super().prepare_workflow(defn)
            self._prepared.add(defn.cls)


def worker(
    client: Client,
    queue: str,
    world: FakeWorld,
    *,
    privileged: bool,
    workflows: Any = None,
    interceptors: Sequence[Interceptor] = (),
    beats: float = 1.0,
) -> Worker:
    """Return the worker of one role on fake activities; they beat every `beats` seconds.

    What a test holds in flight must not be thought dead: many beats a timeout.
    """
    interval = timedelta(seconds=beats)
    return Worker(
        client,
        task_queue=names.privileged(queue) if privileged else queue,
        workflows=[] if privileged else workflows or WORKFLOWS,
        activities=activities_of(world, privileged=privileged),
        interceptors=[Around(beating), Around(translating), *interceptors],
        workflow_runner=PreparedOnce(),
        max_heartbeat_throttle_interval=interval,
        default_heartbeat_throttle_interval=interval,
    )
