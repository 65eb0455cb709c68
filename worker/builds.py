"""Builds of the workflow worker: which there are, which one is current, which run is on which."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentInfo, WorkerDeploymentVersion
from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus as Status
from temporalio.api.workflow.v1 import (
    VersioningOverride,
    WorkflowExecutionOptions,
    WorkflowExecutionVersioningInfo,
)
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from slipway import names
from slipway.errors import BadInput, SlipwayError, Unreachable
from slipway.verdicts import Reason

_TRIED = "1.32"
"""The version of Temporal's server that this was tried with."""


class State(StrEnum):
    """What a build is to new and to running work."""

    CURRENT = "current"
    """New runs begin on it."""
    RAMPING = "ramping"
    """A share of new runs begins on it."""
    DRAINING = "draining"
    """No new runs; its own still run."""
    DRAINED = "drained"
    """No new runs, and none of its own runs any more: its workers can go."""
    INACTIVE = "inactive"
    """Its workers run, and it was never current."""


_STATES = {
    Status.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT: State.CURRENT,
    Status.WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING: State.RAMPING,
    Status.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING: State.DRAINING,
    Status.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED: State.DRAINED,
}


@dataclass(frozen=True)
class Build:
    """One build of the workflow worker."""

    build_id: str
    state: State
    since: datetime
    """Of the state's last change."""
    running: int
    """Workflows that run on it, as far as Temporal's list knows: a second behind at most."""


@dataclass(frozen=True)
class Run:
    """A running workflow and the build it is on; "" for none."""

    workflow_id: str
    run_id: str
    build_id: str
    on_its_way: str = ""
    """The build that the next workflow task goes to, while it is another one."""


class Builds:
    """The builds that serve one task queue."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._queue = task_queue
        self._deployment = names.worker_deployment(task_queue)

    async def listed(self) -> list[Build]:
        """Return every build, newest first. Raises BadInput when there is none."""
        info = await self._info()
        found = [
            Build(
                build_id=one.deployment_version.build_id,
                state=_STATES.get(one.status, State.INACTIVE),
                since=_when(one),
                running=await self._count(f"'{self._version(one.deployment_version.build_id)}'"),
            )
            for one in info.version_summaries
        ]
        return sorted(found, key=lambda one: one.since, reverse=True)

    async def without(self) -> int:
        """Return how many workflows of the queue run on no build."""
        return await self._count(None)

    async def make_current(self, build_id: str) -> str:
        """Let new runs begin on a build; return the build they began on before, "" for none.

        Raises BadInput when the build is unknown or the server refuses.
        """
        info = await self._known(build_id)
        before = info.routing_config.current_deployment_version.build_id
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=self._client.namespace,
            deployment_name=self._deployment,
            build_id=build_id,
            identity=self._client.identity,
        )
        try:
            await self._client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError as error:
            raise refused(error) from None
        return before

    async def find(self, name: str) -> Run:
        """Return the running workflow of a deployment, an environment, or of this workflow ID.

        Raises BadInput when there is none.
        """
        for workflow_id, deployment in _candidates(name):
            found = await self._describe(workflow_id)
            if found is not None and _is_of(found, deployment):
                return _run(found)
        raise BadInput(
            f"{name}: no workflow of this deployment, environment or ID is running.",
            "`slipway status` shows where a deployment is; an ended one needs no build.",
        )

    async def again(self, run: Run) -> Run | None:
        """Return what has become of a run; None when it has ended."""
        found = await self._describe(run.workflow_id)
        return _run(found) if found is not None and found.run_id == run.run_id else None

    async def move(self, run: Run, build_id: str) -> None:
        """Send a run's next workflow task to a build, where it then stays.

        Raises BadInput when the build is unknown or the server refuses.
        """
        await self._known(build_id)
        version = WorkerDeploymentVersion(deployment_name=self._deployment, build_id=build_id)
        once = VersioningOverride.OneTimeOverride(target_deployment_version=version)
        request = UpdateWorkflowExecutionOptionsRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=run.workflow_id, run_id=run.run_id),
            workflow_execution_options=WorkflowExecutionOptions(
                versioning_override=VersioningOverride(one_time=once)
            ),
            update_mask=FieldMask(paths=["versioning_override"]),
            identity=self._client.identity,
        )
        try:
            await self._client.workflow_service.update_workflow_execution_options(request)
        except RPCError as error:
            raise refused(error) from None

    async def _info(self) -> WorkerDeploymentInfo:
        request = DescribeWorkerDeploymentRequest(
            namespace=self._client.namespace, deployment_name=self._deployment
        )
        try:
            answer = await self._client.workflow_service.describe_worker_deployment(request)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
                raise BadInput(
                    f"No worker with a build has ever served the queue {self._queue}.",
                    "Start one with SLIPWAY_BUILD_ID set, or correct SLIPWAY_TASK_QUEUE.",
                ) from None
            raise refused(error) from None
        return answer.worker_deployment_info

    async def _known(self, build_id: str) -> WorkerDeploymentInfo:
        info = await self._info()
        known = sorted(one.deployment_version.build_id for one in info.version_summaries)
        if build_id not in known:
            raise BadInput(
                f"Build {build_id} is unknown on the queue {self._queue}; "
                f"there are: {', '.join(known)}.",
                f"Start a worker with SLIPWAY_BUILD_ID={build_id} first, or name another build.",
            )
        return info

    async def _describe(self, workflow_id: str) -> WorkflowExecutionDescription | None:
        try:
            found = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
                return None
            raise refused(error) from None
        return found if found.status is WorkflowExecutionStatus.RUNNING else None

    async def _count(self, version: str | None) -> int:
        where = f"= {version}" if version else "IS NULL"
        query = (
            f"TaskQueue = '{self._queue}' AND ExecutionStatus = 'Running' "
            f"AND TemporalWorkerDeploymentVersion {where}"
        )
        try:
            return (await self._client.count_workflows(query)).count
        except RPCError as error:
            raise refused(error) from None

    def _version(self, build_id: str) -> str:
        return f"{self._deployment}:{build_id}"


def _when(one: WorkerDeploymentInfo.WorkerDeploymentVersionSummary) -> datetime:
    changed = one.routing_update_time if one.HasField("routing_update_time") else one.create_time
    return changed.ToDatetime(UTC).replace(microsecond=0)


def _candidates(name: str) -> list[tuple[str, str]]:
    """Return workflow IDs to look at, each with the deployment it must be of ("" for any)."""
    try:
        environment = names.environment_of(name)
    except ValueError:
        return [(names.deployment_workflow_id(name), ""), (name, "")]
    deployment = names.deployment_workflow_id(environment)
    return [(deployment, name), (names.aftercare_workflow_id(name), ""), (name, "")]


def _is_of(found: WorkflowExecutionDescription, deployment: str) -> bool:
    values = found.search_attributes.get(names.SEARCH_DEPLOYMENT, [])
    return not deployment or deployment in values


def _run(found: WorkflowExecutionDescription) -> Run:
    info = found.raw_description.workflow_execution_info.versioning_info
    return Run(found.id, found.run_id or "", info.deployment_version.build_id, _next(info))


def _next(info: WorkflowExecutionVersioningInfo) -> str:
    """Return the build of the next workflow task; "" while that is the one it is on."""
    override = info.versioning_override
    to = (
        override.one_time.target_deployment_version.build_id
        or override.pinned.version.build_id
        or info.version_transition.deployment_version.build_id
    )
    return "" if to == info.deployment_version.build_id else to


def refused(error: RPCError) -> SlipwayError:
    """Return what a refusal of Temporal's means for the person who asked."""
    if error.status is RPCStatusCode.UNIMPLEMENTED:
        return BadInput(
            "This Temporal server is too old to move runs between builds of a worker.",
            f"Update it; slipway was tried with {_TRIED}. Until then run workers without "
            "SLIPWAY_BUILD_ID.",
            reason=Reason.ENVIRONMENT_NOT_READY,
        )
    if error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED):
        return Unreachable(
            f"Temporal does not answer: {error.message[:200]}.",
            "Check TEMPORAL_ADDRESS and that the server runs.",
        )
    return BadInput(
        f"Temporal refuses: {error.message[:300]}.", "Correct what it names, and try again."
    )
